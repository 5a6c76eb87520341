#!/bin/bash
# Read the code without running it: ruff (its rules and its format), mypy --strict, shellcheck, mandoc. `tests/lint.sh PYTHON`, which `make lint` calls.
#
# Every check runs, whatever the ones before it found. A tool that cannot be had is said loudly; with CI=true that fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
unset PYTHONPATH PYTHONHOME

python=${1:-python3}
# Pinned, so that a new release of a tool breaks no build. mypy 1.18 is the last but one that knows Python 3.9.
ruff=ruff==0.12.12 mypy=mypy==1.18.2
wanted="$ruff $mypy $("$python" -c 'import sys; print(sys.version)')"
status=0

fail() {
    printf '*** lint: %s\n' "$*" >&2
    status=1
}

miss() {
    printf '*** lint: NOT CHECKED: %s\n' "$*" >&2
    if [[ ${CI:-} == true ]]; then status=1; fi
}

check() {
    printf 'lint: %s\n' "$1"
    "${@:2}" || fail "$1 found something"
}

# On Debian as root what is missing is installed.
install_from_debian() {
    [[ $EUID -eq 0 && -e /etc/debian_version ]] || return
    local install=(apt-get install --yes --quiet --no-install-recommends "$1")
    export DEBIAN_FRONTEND=noninteractive
    "${install[@]}" >/dev/null 2>&1 || { apt-get update --quiet && "${install[@]}"; } >&2
}

have() { command -v "$1" >/dev/null || install_from_debian "$1"; }

make_venv() {
    [[ -x .venv-lint/bin/mypy && $(cat .venv-lint/made-for 2>/dev/null) == "$wanted" ]] && return
    rm -rf .venv-lint
    "$python" -c 'import ensurepip' 2>/dev/null || install_from_debian python3-venv
    "$python" -m venv .venv-lint &&
        .venv-lint/bin/python3 -m pip install --quiet --disable-pip-version-check "$ruff" "$mypy" &&
        printf '%s\n' "$wanted" >.venv-lint/made-for
}

check_python() {
    if ! make_venv >&2; then
        rm -rf .venv-lint
        miss "Python, for $ruff and $mypy could not be installed"
        return
    fi
    check ruff .venv-lint/bin/ruff check --quiet
    check "ruff format" .venv-lint/bin/ruff format --quiet --check
    check "mypy --strict" .venv-lint/bin/mypy --no-error-summary
}

# Our own scripts, and the batch scripts that neurun is held to write.
check_shell() {
    local files=() file
    while read -r file; do
        if [[ $file == *.sh || $file == *.bash ]] || head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh$'; then files+=("$file"); fi
    done < <(git ls-files --cached --others --exclude-standard -- neuromanager tests examples completion packaging .ci | while read -r file; do
        if [[ -f $file ]]; then printf '%s\n' "$file"; fi
    done)
    # SC1091: a golden run.sh sources what its user's env names, which is not here to follow. SC2317: traps call functions.
    if have shellcheck; then
        check shellcheck shellcheck --exclude=SC1091,SC2317 "${files[@]}"
    else
        miss "shell scripts, for there is no shellcheck"
    fi
}

check_manual() {
    local pages=(man/*.[1-9])
    if [[ ! -e ${pages[0]} ]]; then
        fail "there are no man pages"
    elif have mandoc; then
        check mandoc mandoc -T lint -W warning "${pages[@]}"
    elif command -v groff >/dev/null; then
        check groff test -z "$(groff -ww -mandoc -Tutf8 -z "${pages[@]}" 2>&1 | tee /dev/stderr)"
    else
        miss "man pages, for there is neither mandoc nor groff"
    fi
}

check_python
check_shell
check_manual
exit "$status"
