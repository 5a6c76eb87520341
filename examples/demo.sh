#!/bin/bash
# `make demo`: sweep train.py over params.json on this machine, and show what came of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

number=1
names=$(ls -a runs runs/.trash 2> /dev/null; cat runs/.trash/emptied.txt 2> /dev/null) || true  # each is given once
while grep -qx "demo-$number" <<< "$names"; do number=$((number + 1)); done

command=(bin/neusweep bin/neurun --name="demo-$number" local cpu examples/train.py --steps=200)
printf '$ %s\n' "${command[*]}"
status=0
"${command[@]}" || status=$?

printf '\n$ bin/neutable %s\n' "demo-$number"
bin/neutable "demo-$number"
printf '\nAll of it is text, in runs/demo-%s; look around.\n' "$number"
exit "$status"
