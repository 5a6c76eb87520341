#!/bin/bash
# Other Slurms than this machine's: those of Debian's suites, each in a folder made by debootstrap(8). As root.
#
#   versions.sh test [SUITE...]      the tests of this list (or those of TESTS) on each; fails where one of them does
#   versions.sh record [SUITE...]    write what each answers to the questions that we ask: tests/golden/slurm/VERSION/
#   versions.sh run SUITE [CMD...]   one command, or a shell, in this clone, where that Slurm and Python are installed
#   versions.sh remove [SUITE...]    delete the folders, of some 0.7 GB each
#
# The suites are bullseye (20.11), bookworm (22.05) and trixie (24.11); none named: all of them. The folders are made
# once, in NEU_SLURM_SUITES, else in neuromanager-slurm of XDG_CACHE_HOME or ~/.cache; MIRROR may name a mirror of
# Debian. Whatever is mounted is so in a mount namespace of its own, and every process lives in a process namespace of
# its own (unshare(1)): both end with the command, even by kill -9, and no folder is ever deleted with a mount in it.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clone=$(cd "$here/../../.." && pwd)
cache=${NEU_SLURM_SUITES:-${XDG_CACHE_HOME:-$HOME/.cache}/neuromanager-slurm}
mirror=${MIRROR:-http://deb.debian.org/debian}
all=(bullseye bookworm trixie)
# All that shows something of a real Slurm. A new class of such tests is to be added here.
tests=${TESTS:-beds.slurm.check_contract beds.slurm.check_bed slurm.test_propose slurm.test_versions slurm.test_cluster.SharedClusterTest slurm.test_clusters.RealTest
    slurm.test_chain.RealSlurm slurm.test_contract.RealSlurm launch.test_protocol.RealSlurm slurm.test_cancel.CancelTest slurm.test_cancel.WaitTest
    launch.test_after.SlurmTest slurm.test_after.RealTest slurm.test_status launch.test_resume.RealResume commands.test_neurerun.SlurmTest
    slurm.test_pack.RealTest slurm.test_requeue slurm.test_late commands.test_neutrash commands.test_neudiff commands.test_neuset.OnSlurmTest slurm.test_outages slurm.test_many launch.test_feed.RealTest
    commands.test_neulog.SlurmTest commands.test_neusnap.SlurmTest commands.test_neustat.SlurmTest commands.test_neufree.PlainSlurmTest commands.test_neufree.AccountedSlurmTest commands.test_neutop.SlurmTest commands.test_neuattach.RealTest profile.test_demand.EstimateTest test_man.BlocksTest
    test_readme.ReadmeTest.test_sessions_on_slurm test_docs.DocsTest.test_sessions_on_slurm}

say() { printf 'versions.sh: %s\n' "$*" >&2; }
fail() { say "error: $*"; exit 111; }

version_of() {
    case $1 in
        bullseye) printf '20.11' ;;
        bookworm) printf '22.05' ;;
        trixie) printf '24.11' ;;
        *) fail "'$1': no suite with a Slurm that is known here; known: ${all[*]}" ;;
    esac
}

packages_of() {
    printf '%s ' slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins munge mariadb-server mariadb-client \
        faketime libfaketime procps tmux git python3 python-is-python3 python3-jsonschema
    if [[ $1 != bullseye ]]; then printf 'slurm-wlm-mysql-plugin'; fi # 20.11's slurmdbd has it
}

# What a folder is made of; one that was made of something else is made anew.
recipe_of() {
    packages_of "$1"
    if [[ $1 == trixie ]]; then printf ' and the libmariadb3 of bookworm'; fi
}

# --- outside

check_here() {
    [[ $EUID -eq 0 ]] || fail "only root can chroot and mount; the other versions of Slurm were not tested"
    [[ $cache != *[[:space:]]* ]] || fail "$cache: debootstrap takes no path with a blank; set NEU_SLURM_SUITES"
    local program
    for program in debootstrap unshare flock chroot; do
        command -v "$program" >/dev/null ||
            fail "no $program here (apt-get install debootstrap util-linux); the other versions of Slurm were not tested"
    done
    unshare --mount true 2>/dev/null ||
        fail "this machine lets not even root mount (a container?); the other versions of Slurm were not tested"
}

# Mounts are made in its namespace only; the process namespace ends with its first process, and all in it with it.
apart() { unshare --mount --pid --fork --kill-child --propagation private -- bash "$here/versions.sh" "$@"; }

# A suite's folder, made if it is not there, or lacks a package of the list. What was begun and not finished is made anew.
make_suite() {
    local suite=$1 root=$cache/$1 log=$cache/$1.log
    mkdir -p "$cache"
    exec {lock}>"$cache/$suite.lock"
    flock "$lock"
    if [[ $(cat "$root/complete" 2>/dev/null) != "$(recipe_of "$suite")" ]]; then
        say "$suite: installing Debian's Slurm $(version_of "$suite") in $root (one or two minutes; once)"
        apart inside-make "$suite" >"$log" 2>&1 ||
            { tail -n 5 "$log" >&2; fail "$suite: could not be installed from $mirror; $log says why"; }
    fi
    exec {lock}>&-
}

run_in_suite() {
    local suite=$1
    shift
    make_suite "$suite"
    apart inside-run "$suite" "$@"
}

test_suites() {
    local suite code=0 lines=() began
    for suite in "$@"; do
        make_suite "$suite"
        say "Slurm $(version_of "$suite") ($suite):"
        began=$SECONDS
        # shellcheck disable=SC2086  # several words
        if apart inside-run "$suite" python3 -m tests $tests | tee "$cache/$suite.log"; then :; else code=1; fi
        lines+=("Slurm $(version_of "$suite"): $(tail -n 1 "$cache/$suite.log"), in $((SECONDS - began)) s")
    done
    printf '%s\n' "${lines[@]}"
    return "$code"
}

record_suites() {
    local suite
    for suite in "$@"; do
        run_in_suite "$suite" python3 -m tests.beds.slurm.record "tests/golden/slurm/$(version_of "$suite")"
    done
}

remove_suites() {
    local suite
    for suite in "$@"; do
        rm -rf --one-file-system "${cache:?}/$suite" "$cache/$suite.log" "$cache/$suite.lock"
    done
    rmdir "$cache" 2>/dev/null || true
}

# --- inside the namespaces

mount_system() {
    local root=$1
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
}

inside_make() {
    local suite=$1 root=$cache/$1
    if [[ ! -e $root/etc/debian_version || -e $root/debootstrap ]]; then
        rm -rf --one-file-system "$root"
        debootstrap --variant=minbase "$suite" "$root" "$mirror"
    fi
    umount -R "$root/proc" "$root/sys" 2>/dev/null || true # debootstrap may leave its own
    mount_system "$root"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service is to start (invoke-rc.d(8))
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    chroot "$root" apt-get update --quiet
    # shellcheck disable=SC2046  # several words
    chroot "$root" apt-get install --yes --quiet --no-install-recommends $(packages_of "$suite")
    if [[ $suite == trixie ]]; then add_client_library "$root"; fi
    chroot "$root" apt-get clean
    [[ $(chroot "$root" slurmctld -V) == *" $(version_of "$suite")."* ]] ||
        { printf 'not Slurm %s\n' "$(version_of "$suite")"; exit 1; }
    recipe_of "$suite" >"$root/complete"
}

# slurmdbd 24.11 with the client library of MariaDB 11.8.9 ends at its first question ("Number of columns in result (=1)
# set execeeds maxmimum allowed number of columns (=0)"). That of bookworm, in /usr/local/lib, is found before it.
add_client_library() {
    local root=$1 list=$1/etc/apt/sources.list.d/bookworm.list
    printf 'deb %s bookworm main\n' "$mirror" >"$list"
    chroot "$root" apt-get update --quiet
    chroot "$root" sh -ec 'rm -rf /root/library && mkdir /root/library && cd /root/library
        apt-get download --quiet libmariadb3/bookworm && dpkg-deb -x libmariadb3_*.deb .
        cp -L usr/lib/*/libmariadb.so.3 /usr/local/lib && ldconfig && rm -r /root/library'
    rm "$list"
    chroot "$root" apt-get update --quiet
}

# This process is the first of its namespace, and reaps what others leave behind; so it stays, and execs nothing.
inside_run() {
    local root=$cache/$1 name kept=() code=0
    shift
    mount_system "$root"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mkdir -p "$root/neuromanager"
    mount --bind "$clone" "$root/neuromanager"
    if [[ -e $clone/.venv ]]; then mount -t tmpfs tmpfs "$root/neuromanager/.venv"; fi # of another Python
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    for name in TERM NEU_SEED; do
        if [[ -n ${!name-} ]]; then kept+=("$name=${!name}"); fi
    done
    chroot "$root" env -i -C /neuromanager "${kept[@]}" PATH=/neuromanager/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
        HOME=/root LANG=C.UTF-8 CI=true PYTHONDONTWRITEBYTECODE=1 "$@" || code=$?
    return "$code"
}

main() {
    local verb=${1-} suites suite
    shift || true
    case $verb in
        inside-make) inside_make "$@"; return ;;
        inside-run) inside_run "$@"; return ;;
        test | record | remove) suites=("$@") ;;
        run) suites=("${1-}") ;;
        *) fail "what to do? test, record, run or remove; see the head of ${BASH_SOURCE[0]}" ;;
    esac
    if [[ ${#suites[@]} -eq 0 ]]; then suites=("${all[@]}"); fi
    for suite in "${suites[@]}"; do version_of "$suite" >/dev/null; done
    check_here
    case $verb in
        test) test_suites "${suites[@]}" ;;
        record) record_suites "${suites[@]}" ;;
        remove) remove_suites "${suites[@]}" ;;
        run)
            if [[ $# -eq 1 ]]; then set -- "$1" bash; fi
            run_in_suite "$@"
            ;;
    esac
}

main "$@"
