#!/bin/bash
# `make demo`: sweep train.py over params.json on this machine, and show what came of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

number=1
while [[ -e runs/demo-$number ]]; do number=$((number + 1)); done

command=(bin/neusweep bin/neurun --name="demo-$number" local cpu examples/train.py --steps=200)
printf '$ %s\n' "${command[*]}"
status=0
"${command[@]}" || status=$?

python3 - "runs/demo-$number/demo-$number"_*/result.json <<'END'
import json, os, sys

print(f"\n{'run':16}{'lr':>8}{'layers':>8}{'loss':>10}{'accuracy':>10}")
for path in filter(os.path.exists, sys.argv[1:]):
    with open(path, encoding="utf-8") as file:
        result = json.load(file)
    run = os.path.basename(os.path.dirname(path))
    print(f"{run:16}{result['lr']:8}{result['layers']:8}{result['loss']:10.4f}{result['accuracy_test']:10.3f}")
END
printf '\nAll of it is text, in runs/demo-%s; look around.\n' "$number"
exit "$status"
