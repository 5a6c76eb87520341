#!/bin/bash
# An HTCondor for the tests: that of Debian's trixie, in a folder made by debootstrap(8), since older suites have none.
#
#   install.sh              make the folder, once (half a minute, 0.5 GB); `make test` calls it. Debian, as root.
#   install.sh run CMD...   one command there, as a plain user, with a copy of this clone in /neuromanager
#   install.sh where        print the folder; fails where it has not been made
#   install.sh remove       delete the folder
#
# The folder is NEU_HTCONDOR_SUITE, else neuromanager-htcondor/trixie in ~/.cache; MIRROR may name a mirror of Debian.
# Whatever is mounted is so in a mount namespace of its own, and every process lives in a process namespace of its own
# (unshare(1)): both end with the command, even by kill -9. Where nothing can be made this says so and exits 0, for the
# tests can tell best which of them did not run.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clone=$(cd "$here/../../.." && pwd)
root=${NEU_HTCONDOR_SUITE:-$HOME/.cache/neuromanager-htcondor/trixie}
mirror=${MIRROR:-http://deb.debian.org/debian}
packages='condor git openssh-client openssh-server procps python3 python-is-python3 python3-jsonschema'
user=tester # root may not submit: "Setting job owner to root is not permitted"

say() { printf 'htcondor/install.sh: %s\n' "$*" >&2; }

is_complete() { [[ $(cat "$root/complete" 2>/dev/null) == "$packages" ]]; }

# The namespaces end with their first process, and all in them with it.
apart() { unshare --mount --pid --fork --kill-child --propagation private -- bash "$here/install.sh" "$@"; }

make_suite() {
    local log=$root.log lock
    is_complete && return
    if [[ $EUID -ne 0 || ! -e /etc/debian_version ]] || ! command -v apt-get >/dev/null; then
        say "no HTCondor for the tests: only on Debian as root would it be installed now"
        return
    fi
    if [[ $root == *[[:space:]]* ]]; then
        say "no HTCondor for the tests: $root: debootstrap takes no path with a blank; set NEU_HTCONDOR_SUITE"
        return
    fi
    command -v debootstrap >/dev/null ||
        { apt-get install --yes --quiet --no-install-recommends debootstrap </dev/null >&2 ||
            { apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends debootstrap; } >&2; } ||
        { say "no HTCondor for the tests: debootstrap could not be installed"; return; }
    unshare --mount true 2>/dev/null ||
        { say "no HTCondor for the tests: this machine lets not even root mount (a container?)"; return; }
    mkdir -p "$(dirname "$root")"
    exec {lock}>"$root.lock"
    flock "$lock"
    is_complete && return
    say "installing Debian's HTCondor in $root (half a minute; once)"
    apart inside-make >"$log" 2>&1 ||
        { tail -n 5 "$log" >&2; say "no HTCondor for the tests: it could not be installed from $mirror; see $log"; }
}

# --- inside the namespaces

mount_system() {
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
}

inside_make() {
    if [[ ! -e $root/etc/debian_version || -e $root/debootstrap ]]; then
        rm -rf --one-file-system "$root"
        debootstrap --variant=minbase trixie "$root" "$mirror"
    fi
    umount -R "$root/proc" "$root/sys" 2>/dev/null || true # debootstrap may leave its own
    mount_system
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service is to start (invoke-rc.d(8))
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    chroot "$root" apt-get update --quiet
    # shellcheck disable=SC2086  # several words
    chroot "$root" apt-get install --yes --quiet --no-install-recommends $packages
    chroot "$root" apt-get clean
    chroot "$root" id "$user" 2>/dev/null || chroot "$root" useradd --create-home "$user"
    printf '%s\n' "$packages" >"$root/complete"
}

# This process is the first of its namespace, and reaps what others leave behind; so it stays, and execs nothing.
inside_run() {
    local name kept=() code=0
    mount_system
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mkdir -p "$root/neuromanager" "$root/full"
    mount -t tmpfs -o mode=755 tmpfs "$root/neuromanager" # a copy: the clone may be closed to other users
    cp -R "$clone"/{bin,neuromanager,tests,examples,man} "$root/neuromanager"
    chmod -R a+rX "$root/neuromanager"
    mount -t tmpfs -o mode=1777,size=256k tmpfs "$root/full" # a disk that is soon full
    for name in TERM NEU_SEED NEU_KILL_EXPERIMENTS; do
        if [[ -n ${!name-} ]]; then kept+=("$name=${!name}"); fi
    done
    chroot --userspec="$user:$user" "$root" env -i -C /neuromanager "${kept[@]}" \
        PATH=/neuromanager/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME="/home/$user" USER="$user" \
        LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 "$@" || code=$?
    return "$code"
}

verb=${1-make}
shift || true
case $verb in
    make) make_suite ;;
    run) apart inside-run "$@" ;;
    where) is_complete && printf '%s\n' "$root" ;;
    remove) rm -rf --one-file-system "${root:?}" "$root.log" "$root.lock" ;;
    inside-make) inside_make ;;
    inside-run) inside_run "$@" ;;
    *) say "what to do? make, run, where or remove; see the head of ${BASH_SOURCE[0]}"; exit 2 ;;
esac
