# HTTP for tests, to be sourced: by means of bash alone, since the images have no
# curl.
# shellcheck shell=bash

# http ADDRESS METHOD PATH [BODY [HOST]]: prints the body of the answer, as long as
# one comes; fails unless its status is 2xx. HOST is what the server is called.
http() {
  local LC_ALL=C socket status line body=${4:-}
  exec {socket}<>"/dev/tcp/${1%:*}/${1##*:}" || return 1
  printf '%s %s HTTP/1.0\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s' \
    "$2" "$3" "${5:-localhost}" ${#body} "$body" >&"$socket"
  read -r -t 10 _ status _ <&"$socket" || status='no answer'
  while read -r -t 10 line <&"$socket" && [ "$line" != $'\r' ]; do :; done
  cat <&"$socket"
  exec {socket}>&-
  [[ $status = 2?? ]] || { echo "$2 $3: $status" >&2 && return 1; }
}
