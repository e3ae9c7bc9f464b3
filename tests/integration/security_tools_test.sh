#!/usr/bin/env bash
# messenger-server token, rights and init-tls as an operator meets them.
#   security_tools_test.sh MESSENGER_SERVER MESSENGER_CLI
set -uo pipefail
server=$1
cli=$2
source "$(dirname "$0")/../support/programs.sh"
unset MESSENGER_SERVER_TOKENS MESSENGER_SERVER_RIGHTS
umask 022

# fails CODE PATTERN COMMAND...: the first line of stderr, and no stdout.
fails() {
  local code=$1 pattern=$2 out
  shift 2
  out=$("$server" "$@" 2>err)
  is "$*: exit code" $? "$code"
  is "$*: stdout" "$out" ""
  has "$*" "$(head -n 1 err)" "$pattern"
}

# ---- token

# add NAME [OPTION...]: its token in $token, its id in $id, what is said in err.
add() {
  token=$("$server" token add --tokens tokens --identity "$@" 2>err)
  is "token add --identity $*: exit code" $? 0
  id=$(cut -d_ -f 2 <<<"$token")
}

add ann
has "the token, alone, is on stdout" "$token" \
  '^messenger_[a-z0-9]{8}_[A-Za-z0-9_-]{43}$'
is "a new file is its owner's alone" "$(stat -c %a tokens)" 600
has "how a client gets it" "$(cat err)" '--token-file'
has "how a client gets it" "$(cat err)" 'MESSENGER_TOKEN'
has "it is shown once" "$(cat err)" 'once'
has "how to take it back" "$(cat err)" "token revoke --tokens tokens $id"
has "it expires in 90 days" "$(cat err)" \
  "expires at $(date -u -d '90 days' +%Y-%m-%d)T"
! grep -q "${token##*_}" tokens err || fail "the secret is kept, or on stderr"
ann=$id

add "Ann Lee" --no-expiry
has "it never expires" "$(cat err)" 'never expires'
lee=$id
add ci --expires-in 1s
ci=$id
MESSENGER_SERVER_TOKENS=tokens "$server" token add --identity bob \
  >/dev/null 2>&1 || fail "the file may be named by the environment"

expired() { "$server" token list --tokens tokens | grep -q "^$ci .* expired\$"; }
await "one that has expired is listed as such" expired
out=$("$server" token list --tokens tokens)
is "token list: a line for each" "$(wc -l <<<"$out")" 5
has "token list: the head" "$(head -n 1 <<<"$out")" \
  '^ID +IDENTITY +CREATED +EXPIRES$'
has "token list: one with blanks" "$out" "^$lee  \"Ann Lee\" .*  never\$"
has "token list: one that is good" "$out" "^$ann  ann  .*T[0-9:]{8}Z\$"
out=$(MESSENGER_SERVER_TOKENS=tokens "$server" token list --json)
is "token list --json: a line for each" "$(wc -l <<<"$out")" 4
has "token list --json" "$out" \
  "^\{\"id\":\"$lee\",\"identity\":\"Ann Lee\",\"created\":\"20[^\"]*Z\",\"expires\":null,\"expired\":false\}\$"
has "token list --json" "$out" "^\{\"id\":\"$ci\",.*Z\",\"expired\":true\}\$"

out=$("$server" token revoke --tokens tokens "$ann" "$ci")
is "token revoke: exit code" $? 0
is "token revoke" "$out" "revoked $ann, a token of ann
revoked $ci, a token of ci"
out=$("$server" token revoke --tokens tokens "$ann" "$lee" 2>err)
is "token revoke of one that is not there: exit code" $? 3
has "token revoke of one that is not there" "$(cat err)" \
  "tokens: there is no token with the id $ann"
is "the others are revoked" "$out" "revoked $lee, a token of \"Ann Lee\""
"$server" token revoke --tokens tokens "$token" 2>err
is "token revoke of a whole token: exit code" $? 2
! grep -q "${token##*_}" err || fail "an error shows the secret"

# In a file of its own.
out=$("$server" token add --tokens out --identity ann --out "ann's token" 2>err)
is "token add --out: exit code" $? 0
is "token add --out: stdout" "$out" ""
has "the token, alone, is in the file" "$(cat "ann's token")" \
  '^messenger_[a-z0-9]{8}_[A-Za-z0-9_-]{43}$'
is "it is its owner's alone" "$(stat -c %a "ann's token")" 600
has "how a client gets it" "$(cat err)" "--token-file 'ann'\\\\''s token'"
has "how to take it back" "$(cat err)" "token revoke --tokens out $(cut -d_ -f 2 "ann's token")"
! grep -q "$(cut -d_ -f 3- "ann's token")" out err || fail "the secret is on stderr"
sum=$(sha256sum out "ann's token")
fails 3 "ann's token: create: File exists" token add --tokens out --identity ann --out "ann's token"
is "nothing is overwritten, and no token added" "$(sha256sum out "ann's token")" "$sum"

# Commands that run at the same time.
for i in 1 2 3 4 5 6; do
  "$server" token add --tokens many --identity "$i" >/dev/null 2>&1 &
done
wait
is "commands that run at the same time lose no token" \
  "$("$server" token list --tokens many | wc -l)" 7

# What goes wrong.
fails 2 '--tokens is required' token add --identity ann
fails 2 '--identity is required' token add --tokens tokens
fails 2 'identity: "\*" stands for everyone' token add --tokens tokens --identity '*'
fails 2 '--expires-in: .* must be 1 to' token add --tokens tokens --identity a --expires-in 0s
fails 2 '--expires-in.*is no duration' token add --tokens tokens --identity a --expires-in soon
fails 2 'excludes' token add --tokens tokens --identity a --expires-in 1d --no-expiry
fails 2 'did you mean --identity' token add --tokens tokens --idenity a
fails 2 'did you mean revoke' token revok --tokens tokens
fails 2 '[Ss]ubcommand is required' token
fails 3 'nosuch: .*No such file' token list --tokens nosuch
fails 3 'nosuch/tokens: ' token add --tokens nosuch/tokens --identity a
fails 2 'ID: "short"; must be 8 of a-z 0-9' token revoke --tokens tokens short
echo "abcd1234 ann" >malformed
fails 2 'malformed: line 1: digest: is missing' token list --tokens malformed
fails 2 'malformed: line 1: digest: is missing' token add --tokens malformed --identity a
"$server" token add --tokens tokens --identity lost >/dev/full 2>err
is "a token that cannot be printed: exit code" $? 1
has "a token that cannot be printed" "$(cat err)" 'cannot write the output: .*token revoke --tokens tokens [a-z0-9]{8}'
lost=$(sed -nE 's/.*token revoke --tokens tokens ([a-z0-9]{8}).*/\1/p' err)
is "it can be revoked" "$("$server" token revoke --tokens tokens "$lost")" \
  "revoked $lost, a token of lost"

# ---- rights

cat >rights <<'END'
# who may do what
ann      send-as  news.*
*        read     news.eu
END
check() { "$server" rights check --rights rights "$@"; }
out=$(check --identity ann --channel news.eu)
is "rights check: exit code" $? 0
is "rights check" "$out" \
  "send     yes  rights:2: ann      send-as  news.*
read     yes  rights:3: *        read     news.eu
admin    no
send-as  yes  rights:2: ann      send-as  news.*"
out=$(MESSENGER_SERVER_RIGHTS=rights "$server" rights check --identity anonymous --channel news.eu --json)
is "rights check --json" "$out" \
  '{"right":"send","allowed":false,"line":null,"text":null}
{"right":"read","allowed":true,"line":3,"text":"*        read     news.eu"}
{"right":"admin","allowed":false,"line":null,"text":null}
{"right":"send-as","allowed":false,"line":null,"text":null}'
out=$(check --identity ann --channel news.eu --right send)
is "a right that is there: exit code" $? 0
is "a right that is there, alone" "$(wc -l <<<"$out")" 1
out=$(check --identity bob --channel news.eu --right send)
is "a right that is not there: exit code" $? 1
is "a right that is not there" "$out" "send     no"
is "without an identity, it is about anonymous callers" \
  "$(check --channel news.eu)" "$(check --identity anonymous --channel news.eu)"
has "what anonymous callers may do" "$(check --channel news.eu)" '^read     yes  rights:3'
fails 2 'it takes send, read, admin or send-as' rights check --rights rights --identity a --channel b --right sned
fails 2 '--channel: "a b" has' rights check --rights rights --identity a --channel 'a b'
fails 2 '--rights is required' rights check --identity a --channel b
fails 3 'nosuch: .*No such file' rights check --rights nosuch --identity a --channel b
echo "ann sned news" >>rights
fails 2 'rights: line 4: rights: "sned" is none of send, read, admin, send-as' \
  rights check --rights rights --identity a --channel b

# ---- init-tls

out=$("$server" init-tls "my tls" --name log.example.org 127.0.0.1 --client archive --days 30)
is "init-tls: exit code" $? 0
has "init-tls: the server's line" "$out" \
  "^  messenger-server --tls-cert 'my tls/server.pem' --tls-key 'my tls/server.key' --tls-client-ca 'my tls/ca.pem'\$"
has "init-tls: the client's line" "$out" \
  "^  messenger-cli read --server log.example.org --tls-ca 'my tls/ca.pem' --tls-cert 'my tls/client.pem' --tls-key 'my tls/client.key'\$"
has "init-tls: the CA's key" "$out" 'Keep my tls/ca.key off the server'
is "init-tls: modes" "$(cd "my tls" && stat -c '%n %a' . *)" \
  ". 700
ca.key 600
ca.pem 644
client.key 600
client.pem 644
server.key 600
server.pem 644"
sum=$(cat "my tls"/* | sha256sum)
fails 3 'my tls/ca.pem: is there already' init-tls "my tls" --name localhost
is "nothing is overwritten" "$(cat "my tls"/* | sha256sum)" "$sum"
is "init-tls --json" "$("$server" init-tls tls --name ::1 --days 9999 --json)" \
  '{"ca_certificate":"tls/ca.pem","ca_key":"tls/ca.key","server_certificate":"tls/server.pem","server_key":"tls/server.key","client_certificate":"tls/client.pem","client_key":"tls/client.key"}'
if command -v openssl >/dev/null; then
  openssl verify -CAfile "my tls/ca.pem" -purpose sslserver -x509_strict \
    -verify_hostname log.example.org "my tls/server.pem" >/dev/null ||
    fail "openssl does not accept the server's certificate"
  openssl verify -CAfile "my tls/ca.pem" -purpose sslclient -x509_strict \
    "my tls/client.pem" >/dev/null ||
    fail "openssl does not accept the client's certificate"
  has "the client is who it should be" \
    "$(openssl x509 -in "my tls/client.pem" -noout -subject)" 'CN = archive$'
  openssl x509 -in "my tls/server.pem" -noout -checkend $((29 * 86400)) \
    >/dev/null || fail "the certificate ends too early"
  ! openssl x509 -in "my tls/server.pem" -noout -checkend $((31 * 86400)) \
    >/dev/null || fail "the certificate ends too late"
fi
out=$("$server" init-tls "my tls" --client bob --days 7)
is "init-tls --client: exit code" $? 0
is "init-tls --client" "$out" "made, good for 7 days:
  my tls/bob.pem, my tls/bob.key: a client, whose identity is bob"
is "init-tls --client: modes" "$(cd "my tls" && stat -c '%n %a' bob.*)" "bob.key 600
bob.pem 644"
fails 3 'my tls/bob.pem: is there already' init-tls "my tls" --client bob
is "init-tls --client --json" "$("$server" init-tls tls --client eve --json)" \
  '{"client_certificate":"tls/eve.pem","client_key":"tls/eve.key"}'
old=$(cat "my tls/server.key" "my tls/server.pem" | sha256sum)
out=$("$server" init-tls "my tls" --renew)
is "init-tls --renew: exit code" $? 0
is "init-tls --renew" "$out" "renewed, good for 365 days:
  my tls/server.pem, my tls/server.key: the server, which takes them within a second"
[ "$(cat "my tls/server.key" "my tls/server.pem" | sha256sum)" != "$old" ] ||
  fail "the certificate is the old one"
is "init-tls --renew --json" "$("$server" init-tls tls --renew --name localhost 127.0.0.1 --json)" \
  '{"server_certificate":"tls/server.pem","server_key":"tls/server.key"}'
if command -v openssl >/dev/null; then
  openssl verify -CAfile "my tls/ca.pem" -purpose sslserver -x509_strict \
    -verify_hostname log.example.org "my tls/server.pem" >/dev/null ||
    fail "openssl does not accept the renewed certificate"
  openssl verify -CAfile "my tls/ca.pem" -purpose sslclient -x509_strict \
    "my tls/bob.pem" >/dev/null ||
    fail "openssl does not accept the other client's certificate"
fi
fails 3 'other/ca.pem: there is no CA yet; messenger-server init-tls' init-tls other --client a
fails 3 'other/ca.pem: there is no CA yet' init-tls other --renew
fails 2 '--days: .* more than the CA has left' init-tls "my tls" --renew --days 3651
fails 2 '--client: "a/b" cannot be' init-tls "my tls" --client a/b
fails 2 'excludes' init-tls "my tls" --renew --client a
mv "my tls/ca.key" elsewhere
fails 3 'my tls/ca.key: without the key of the CA' init-tls "my tls" --renew
mv elsewhere "my tls/ca.key"
fails 2 '--name is required' init-tls other
fails 2 '--name: "a b" is neither' init-tls other --name 'a b'
fails 2 '--days' init-tls other --name a --days 0
fails 2 '--client: ' init-tls other --name a --client '*'
fails 3 'nosuch/other: ' init-tls nosuch/other --name a
[ ! -e other ] || fail "init-tls has left something"

# ---- why a client cannot connect

start_server --log memory: --tls-cert tls/server.pem --tls-key tls/server.key
# explains PATTERN OPTION...: the second line of what messenger-cli says.
explains() {
  local pattern=$1
  shift
  "$cli" ping "$@" >out 2>err
  is "ping $*: exit code" $? 3
  is "ping $*: stdout" "$(cat out)" ""
  is "ping $*: lines" "$(wc -l <err)" 2
  has "ping $*" "$(sed -n 2p err)" "^messenger-cli: $pattern"
}
"$cli" ping --tls-ca tls/ca.pem >/dev/null || fail "the server is not reached"
explains 'the server.s certificate comes from no CA that is trusted here, but from "CN=messenger CA [0-9a-f]{8}"$' \
  --tls-ca "my tls/ca.pem"
"$cli" ping --tls-ca tls/ca.pem --tls-server-name x.example 2>err
is "what gRPC tells is told once" "$(grep -c 'is for localhost, 127.0.0.1, and not for x.example' err)" 1
is "what gRPC tells is told once" "$(wc -l <err)" 1
echo x | "$cli" send - --give-up-after 0s --tls-ca "my tls/ca.pem" 2>err
has "send -, too" "$(tail -n 1 err)" '^messenger-cli: the server.s certificate comes from no CA'
kill_server
start_server --log memory: --tls-cert tls/server.pem --tls-key tls/server.key \
  --tls-client-ca tls/ca.pem
explains 'the server wants a client certificate' --tls-ca tls/ca.pem
"$cli" ping --tls-ca tls/ca.pem --tls-cert tls/eve.pem --tls-key tls/eve.key \
  >/dev/null || fail "another client is not taken"
kill_server
start_server --log memory:
explains 'it answers without TLS' --tls-ca tls/ca.pem
kill_server
"$cli" ping --tls-ca tls/ca.pem 2>err
is "a server that is away has nothing to be explained" "$(wc -l <err)" 1

# ---- help

for command in token "token add" "token list" "token revoke" rights \
  "rights check" init-tls; do
  # shellcheck disable=SC2086 # the command is several words
  out=$("$server" $command --help)
  is "$command --help: exit code" $? 0
  is "$command --help: lines fit" "$(grep -E '^.{81}' <<<"$out")" ""
done

finish
