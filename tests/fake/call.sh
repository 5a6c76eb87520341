# shellcheck shell=bash
# What the fake programs share: the record of the calls, the faults, and the way to their Python.
: "${FAKE_SLURM_DIR:?is not set: where does the fake Slurm keep its jobs?}"

# A file, so that a test can change the fault of a Slurm that a running command asks again and again.
if [[ -z ${FAKE_SLURM_FAULT-} && -e $FAKE_SLURM_DIR/fault ]]; then
    read -r FAKE_SLURM_FAULT <"$FAKE_SLURM_DIR/fault" || true
    export FAKE_SLURM_FAULT
fi
# shellcheck disable=SC2034  # for who includes this, as the next one
fault=${FAKE_SLURM_FAULT-}
# shellcheck disable=SC2034
readonly no_contact='Unable to contact slurm controller (connect failure)'
# shellcheck disable=SC2034
readonly too_often='Rate limit exceeded, please retry momentarily'
[[ $fault != endless ]] || exec yes

# log_call PROGRAM WORD...: one JSON list, without starting a process.
log_call() {
    local word line=
    for word; do
        word=${word//\\/\\\\}
        word=${word//\"/\\\"}
        word=${word//$'\n'/\\n}
        word=${word//$'\t'/\\t}
        word=${word//$'\r'/\\r}
        word=${word//$'\x1f'/\\u001f}
        line+=", \"$word\""
    done
    printf '[%s]\n' "${line#, }" >>"$FAKE_SLURM_DIR/calls.jsonl"
}

# fail CODE LINE...
fail() {
    local code=$1
    shift
    printf '%s\n' "$@" >&2
    exit "$code"
}

# run_python MODULE WORD...: tests.fake.MODULE's main(), found by this file's place; no setting of the user's reaches it.
run_python() {
    exec "${FAKE_SLURM_PYTHON:-python3}" -E -s -S -c '
import importlib, sys
sys.path[0], module, *words = sys.argv[1:]
sys.exit(importlib.import_module("tests.fake." + module).main(words))
' "${BASH_SOURCE[0]%/*}/../.." "$@"
}
