# shellcheck shell=bash
# What the fake programs share: the record of the calls, and the way to their Python.
: "${FAKE_SLURM_DIR:?is not set: where does the fake Slurm keep its jobs?}"

# log_call PROGRAM WORD...: one JSON list, without starting a process.
log_call() {
    local word line=
    for word; do
        word=${word//\\/\\\\}
        word=${word//\"/\\\"}
        word=${word//$'\n'/\\n}
        word=${word//$'\t'/\\t}
        word=${word//$'\r'/\\r}
        line+=", \"$word\""
    done
    printf '[%s]\n' "${line#, }" >>"$FAKE_SLURM_DIR/calls.jsonl"
}

# run_python MODULE WORD...: tests.fake.MODULE's main(), found by this file's place; no setting of the user's reaches it.
run_python() {
    exec "${FAKE_SLURM_PYTHON:-python3}" -E -s -S -c '
import importlib, sys
sys.path[0], module, *words = sys.argv[1:]
sys.exit(importlib.import_module("tests.fake." + module).main(words))
' "${BASH_SOURCE[0]%/*}/../.." "$@"
}
