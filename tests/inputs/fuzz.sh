#!/bin/bash
# Random files of each format of neuset, against readers that are not ours: tests/inputs/fuzz.sh PYTHON [COUNT [SEED]].
# PyYAML, f90nml and cpp are among them; the first two come into .venv-fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
unset PYTHONPATH PYTHONHOME

python=${1:-python3}
command -v cpp > /dev/null || { echo '*** fuzz: there is no cpp, which reads the headers; install gcc' >&2; exit 1; }
if ! .venv-fuzz/bin/python3 -c 'import yaml, f90nml, jsonschema, tomllib' 2> /dev/null; then
    "$python" -c 'import tomllib' || { echo '*** fuzz: Python 3.11 or newer is needed, for its tomllib' >&2; exit 1; }
    rm -rf .venv-fuzz
    "$python" -m venv .venv-fuzz
    .venv-fuzz/bin/python3 -m pip install --quiet pyyaml f90nml jsonschema
fi
exec .venv-fuzz/bin/python3 -m tests.inputs.fuzz "${@:2}"
