#!/usr/bin/env bash
# messenger-cli bench: that it counts right, never how fast it is.
#   cli_bench_test.sh MESSENGER_SERVER MESSENGER_CLI
set -uo pipefail
# shellcheck disable=SC2034 # for programs.sh
server=$1
cli=$2
source "$(dirname "$0")/../support/programs.sh"

start_server --log memory: --retention-bytes 8Mi

# bench EXIT_CODE ARGUMENT...: its JSON goes to the file `json`.
bench() {
  local expected=$1
  shift
  "$cli" bench "$@" --json >json 2>err
  is "bench $*: exit code" $? "$expected"
}

# field NAME VALUE: of the last one.
field() {
  has "$1" "$(cat json)" "\"$1\":$2[,}]"
}

bench 0 send --count 1000
field sent 1000
field failed 0
field sent_twice 0
has "percentiles" "$(cat json)" '"receipt_us":{"p50":[0-9.]*,"p90":'
bench 0 send --count 1000 --producers 7 --in-flight 3 --size 51
field sent 1000
bench 0 send --duration 300ms --rate 1000
field sent 300

bench 0 read --count 1000 --readers 5 --producers 3 --connections 2
field sent 1000
field deliveries 5000
bench 0 read --replay --count 2000 --readers 2
field deliveries 4000
for fault in lost duplicated reordered; do field $fault 0; done

bench 0 latency --duration 300ms --rate 2000 --readers 3
field sent 600
field deliveries 1800
for fault in lost duplicated reordered; do field $fault 0; done
has "percentiles" "$(cat json)" '"arrival_us":{"p50":[0-9.]*,"p90":'

# What retention has dropped is lost, and it says why.
bench 1 read --replay --count 20000 --size 1000
has "retention" "$(cat err)" 'were gone before they were read'

# The channels are gone again; one that was named stays, or one that is kept.
is "no channel is left" "$("$cli" channels --json | wc -l)" 0
bench 0 send --count 10 --channel mine
bench 0 read --count 10 --channel mine
bench 0 latency --rate 1000 --count 10 --keep
is "two channels are left" "$("$cli" channels --json | wc -l)" 2

has "readable" "$("$cli" bench send --count 10)" 'messages per second  *[0-9]'

# Ctrl-C: what was measured is printed.
"$cli" bench latency --duration 1h --json --channel stopped >json 2>err &
pid=$!
await "it sends" "$cli" channels --channel stopped
kill -TERM $pid
wait $pid
is "SIGTERM: exit code" $? 143
field lost 0

# Wrong usage, and no server.
usage() {
  local wanted=$1
  shift
  "$cli" bench "$@" >out 2>err
  is "bench $*: exit code" $? 2
  has "bench $*" "$(cat err)" "$wanted"
}
usage 'A subcommand is required'
usage "there is no option '--server'" --server localhost
usage "'50' must be a number from 51 to 1000000" send --size 50
usage "'0' must be a number from 1" read --readers 0
usage 'messenger-cli bench latency --help explains' latency --rate 0
usage "is no duration" send --duration soon
"$cli" bench send --server 127.0.0.1:1 >out 2>err
is "no server: exit code" $? 3
has "no server" "$(cat err)" 'cannot reach 127.0.0.1:1'

# With a server that is gone, too, and not only when the sends give up (30 s).
"$cli" bench send --duration 1h --channel gone >out 2>err &
pid=$!
await "it sends" "$cli" channels --channel gone
kill -9 "${server_pid:?}"
wait "$server_pid" 2>/dev/null
began=$SECONDS
kill -TERM $pid
wait $pid
is "SIGTERM without a server: exit code" $? 143
[ $((SECONDS - began)) -lt 20 ] || fail "SIGTERM without a server took too long"

finish
