#!/bin/bash
# Install what the tests use and this machine lacks: Slurm, munge and MariaDB for tests/beds/slurm/cluster.py, shellcheck, a
# manual page reader, tmux, strace, zsh, fish, libfaketime, gnuplot, chromium, ssh and sshd. On Debian (or Ubuntu) as root; `make test` calls it.
#
# No service is started: the tests start daemons of their own. Where nothing can be installed this says so and exits 0,
# for the tests can tell best which of them did not run.
set -uo pipefail
export PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive
unset PYTHONPATH PYTHONHOME

policy=/usr/sbin/policy-rc.d

say() { printf 'install.sh: %s\n' "$*" >&2; }

# program package: the program tells whether it is needed, however it came here.
wanted() {
    cat <<'TABLE'
munged munge
slurmctld slurmctld
slurmd slurmd
sbatch slurm-client
slurmdbd slurmdbd
mariadbd mariadb-server
mariadb-admin mariadb-client
shellcheck shellcheck
tmux tmux
strace strace
zsh zsh
fish fish
faketime faketime
gnuplot gnuplot-nox
sshd openssh-server
ssh openssh-client
chromium chromium
TABLE
}

missing_packages() {
    local program package
    while read -r program package; do
        command -v "$program" >/dev/null || printf '%s\n' "$package"
    done < <(wanted)
    command -v mandoc >/dev/null || command -v man >/dev/null || printf 'mandoc\n'
}

# invoke-rc.d(8) asks policy-rc.d before it starts a service; 101 forbids it. One that was here comes back afterwards.
forbid_services() {
    if [[ -e $policy || -L $policy ]]; then mv "$policy" "$policy.before-tests"; fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

allow_services() {
    rm -f "$policy"
    if [[ -e $policy.before-tests || -L $policy.before-tests ]]; then mv "$policy.before-tests" "$policy"; fi
}

install_packages() { apt-get install --yes --quiet --no-install-recommends "$@" </dev/null >&2; }

main() {
    local packages
    mapfile -t packages < <(missing_packages)
    [[ ${#packages[@]} -eq 0 ]] && return
    if [[ $EUID -ne 0 || ! -e /etc/debian_version ]] || ! command -v apt-get >/dev/null; then
        say "missing here: ${packages[*]} (Debian's names); only on Debian as root would they be installed now"
        return
    fi
    say "apt-get install ${packages[*]}"
    trap 'allow_services; exit 130' INT
    trap 'allow_services; exit 143' TERM
    forbid_services
    install_packages "${packages[@]}" || { apt-get update --quiet >&2 && install_packages "${packages[@]}"; } ||
        say "could not install all of: ${packages[*]}"
    allow_services
}

main
exit 0
