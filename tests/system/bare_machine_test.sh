#!/usr/bin/env bash
# script/demo --once and script/test on a machine with nothing but git and a
# clone of what is committed.
#   bare_machine_test.sh
# Some 20 minutes; not part of ctest, which it runs.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
source tests/system/machine.sh
need mmdebstrap

make_machine git
git clone --quiet --no-hardlinks . "$machine/root/messenger"
took "made a machine with git and a clone"

"${in_machine[@]}" /root/messenger/script/demo --once
took "script/demo --once"
"${in_machine[@]}" /root/messenger/script/test
took "script/test"
