#!/bin/bash
# Give this clone a Python with jsonschema: `tests/setup.sh PYTHON`, which `make` calls.
#
# A .venv is made only where it is needed: when PYTHON lacks jsonschema, or when PYTHON is not the `python3` that the
# first line of the files in bin/ finds. bin/ and make use .venv when it is there, so one of another Python, or one
# that nobody needs any more, is removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONPATH PYTHONHOME # a user's modules are not ours, and pip inside the venv must not see them

python=${1:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }

# What tells one Python from another: its version, and where its standard library is (a venv shares its base's).
identify() { "$1" -c 'import sys; print(sys.version_info >= (3, 9), sys.version.split()[0], sys.base_prefix)'; }

has_jsonschema() { "$1" -c 'import jsonschema' 2>/dev/null; }

can_use_apt() { [[ $EUID -eq 0 && -e /etc/debian_version ]] && command -v apt-get >/dev/null; }

# Debian's own Python takes its modules from apt-get. apt-get update only where the lists are missing or too old.
install_from_debian() {
    can_use_apt && [[ $wanted == *" /usr" ]] || return 1
    say "apt-get install python3-jsonschema"
    local install=(apt-get install --yes --quiet --no-install-recommends python3-jsonschema)
    export DEBIAN_FRONTEND=noninteractive
    "${install[@]}" >/dev/null 2>&1 || { apt-get update --quiet && "${install[@]}"; } >&2
}

# --system-site-packages: a jsonschema that the machine's packages brought need not be fetched again.
make_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null || return 1
    say "making .venv"
    rm -rf .venv
    "$python" -m venv --system-site-packages .venv >&2 || return 1
    has_jsonschema .venv/bin/python3 ||
        .venv/bin/python3 -m pip install --quiet --disable-pip-version-check 'jsonschema>=3.2' >&2 || return 1
    printf '%s\n' "$wanted" >.venv/made-for
}

# The python3 that the first line of the files in bin/ finds, if it is the one asked for.
python_of_bin_suffices() { [[ $wanted == "$(identify python3 2>/dev/null)" ]] && has_jsonschema python3; }

if ! wanted=$(identify "$python") || [[ $wanted != True* ]]; then
    say "error: $python is not a Python of version 3.9 or newer; try: make PYTHON=/path/to/python3"
    exit 1
fi
if [[ -e .venv && $(cat .venv/made-for 2>/dev/null) == "$wanted" ]] && has_jsonschema .venv/bin/python3; then
    exit 0
fi
if python_of_bin_suffices; then
    rm -rf .venv
    exit 0
fi
if make_venv; then exit 0; fi
rm -rf .venv
if install_from_debian && python_of_bin_suffices; then exit 0; fi
say "error: $python lacks jsonschema, and it could not be installed here. On Debian: apt-get install" \
    "python3-jsonschema (or python3-venv); elsewhere: $python -m pip install jsonschema; then try again"
exit 1
