#!/bin/bash
# Frozen code and `pip install -e`: every layout, every way to start a program. `make test-editable`; pip fetches the
# builders (setuptools, hatchling). One line for each of the 20; fails where one of them ran the live package.
set -euo pipefail
clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=$(type -P "${1:-python3}")
python=$(realpath -s "$python")
export PATH=$clone/bin:$PATH GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH PYTHONHOME
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_STATE_HOME=$scratch/state XDG_CACHE_HOME=$scratch/cache
wrong=0

# make_project LAYOUT: a project with package mod, in $scratch/LAYOUT/project
make_project() {
    local builder=${1%%-*} shape=${1##*-} root=.
    mkdir -p "$scratch/$1/project" && cd "$scratch/$1/project"
    if [[ $shape == src ]]; then root=src; fi
    mkdir -p "$root/mod" scripts
    echo "VERSION = 1" >"$root/mod/version.py"
    echo "from mod.version import VERSION" >"$root/mod/__init__.py"
    printf 'import sys\nfrom mod import VERSION\ndef main():\n    print(VERSION)\n    sys.exit(VERSION == 1 and len(sys.argv) > 1)\n' >"$root/mod/cli.py"
    printf 'from mod.cli import main\nmain()\n' | tee train.py scripts/s.py "$root/mod/__main__.py" >/dev/null
    printf 'build/\n*.egg-info/\n__pycache__/\n' >.gitignore
    echo '{"local": {"cpu": {}}}' >config.json
    {
        if [[ $builder == hatch ]]; then
            printf '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        else
            printf '[build-system]\nrequires = ["setuptools>=64"]\nbuild-backend = "setuptools.build_meta"\n'
        fi
        printf '[project]\nname = "mod"\nversion = "1"\n[project.scripts]\nmod-cli = "mod.cli:main"\n'
        if [[ $builder == hatch && $shape == src ]]; then
            printf '[tool.hatch.build.targets.wheel]\npackages = ["src/mod"]\n'
        elif [[ $builder == setuptools ]]; then
            printf '[tool.setuptools.packages.find]\nwhere = ["%s"]\ninclude = ["mod*"]\n' "$root"
        fi
    } >pyproject.toml
    git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm one
}

# try LAYOUT WAY COMMAND...: frozen at 1 and failed; edited to 2; launched again, from a shell without PYTHONPATH
try() {
    local layout=$1 way=$2 first again
    shift 2
    first=$(neusnap neurun --name="$way" local cpu "$@" fail 2>/dev/null) || true
    sed -i 's/1/2/' "$version"
    again=$(env -u PYTHONPATH "$(type -P neurerun)" "$way" 2>/dev/null) || true
    sed -i 's/2/1/' "$version"
    printf '%-18s %-12s %s\n' "$layout" "$way" "first ${first:-nothing}, edited, again ${again:-nothing}"
    if [[ $first != 1 || $again != 1 ]]; then wrong=$((wrong + 1)); fi
}

for layout in setuptools-flat setuptools-src setuptools-strict hatch-flat hatch-src; do
    make_project "$layout"
    "$python" -m venv "$scratch/$layout/venv"
    strict=()
    if [[ $layout == *-strict ]]; then strict=(--config-settings editable_mode=strict); fi
    "$scratch/$layout/venv/bin/pip" install --quiet -e . "${strict[@]}"
    version=$(find . -path ./build -prune -o -name version.py -print)
    venv=$scratch/$layout/venv/bin
    try "$layout" script "$venv/python" train.py
    try "$layout" folder "$venv/python" scripts/s.py
    try "$layout" module "$venv/python" -m mod
    try "$layout" entry-point "$venv/mod-cli"
done
if [[ $wrong != 0 ]]; then
    echo "editable.sh: $wrong of 20 ran other code than what was frozen" >&2
    exit 1
fi
echo "20 of 20 ran the frozen package"
