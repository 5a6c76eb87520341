"""The env of a profile on this machine: bash does its lines, and becomes the run's program."""

from __future__ import annotations

from neuromanager.experiment.bashrecorder import render_environment
from neuromanager.system.quoting import quote_word

# Where env has set a trap on EXIT, bash stays to do it, as run.sh does on a node; signals reach the program all the
# same: those for the group by themselves (an asynchronous list ignores INT and QUIT unless that is undone), those for
# the run's process alone by the traps, which are there before the program is. How the program ended is how bash ends.
_STAY = r"""if [ -n "$(builtin trap -p EXIT)" ]; then
  builtin eval "neu_trap=($(builtin trap -p EXIT))"
  for neu_name in TERM INT HUP QUIT; do
    if [ -z "$(builtin trap -p "$neu_name")" ]; then builtin trap : "$neu_name"; fi
  done
  neu_child='' neu_kept=()
  neu_pass() { if [ -z "$neu_child" ]; then neu_kept+=("$1"); else builtin kill -s "$1" "$neu_child" || :; fi; }
  for neu_name in USR1 USR2 ALRM; do builtin trap "neu_pass $neu_name" "$neu_name"; done
  (builtin trap - EXIT TERM INT HUP QUIT USR1 USR2 ALRM; builtin exec "${neu_words[@]}") <&0 &
  neu_child=$!
  for neu_name in ${neu_kept[@]+"${neu_kept[@]}"}; do neu_pass "$neu_name"; done
  neu_gone=''
  while [ -z "$neu_gone" ]; do  # a signal ends wait too, with a code of its own, but not the one for what is gone
    builtin kill -0 "$neu_child" 2> /dev/null || neu_gone=yes
    neu_code=0; builtin wait "$neu_child" || neu_code=$?
  done
  builtin trap - EXIT
  builtin eval "${neu_trap[2]}"
  if [ "$neu_code" -gt 128 ]; then
    builtin trap - TERM INT HUP QUIT USR1 USR2 ALRM
    builtin kill -s $((neu_code - 128)) $$
  fi
  exit "$neu_code"
fi""".split("\n")


def render_env_script(env: tuple[str, ...], ready_descriptor: int, environment: str | None = None) -> str:
    """For ``bash -c TEXT neurun WORDS...`` on this machine: env, then the words' program.

    The descriptor gets ``.`` before the program starts, or the line that failed; nothing when env left by itself.
    ``environment``: the file in which what the program finds is recorded. ``builtin``: env may have functions of those
    names.
    """
    lines = [
        "set +o posix",
        'neu_words=("$@"); set --',  # a script that env sources is to see no words
        "neu_failed() { builtin printf 'neurun: error: env failed (%s): %s; the command was not started\\n' "
        f'"$1" "$2" >&2; builtin printf "env failed (%s): %s" "$1" "$2" >&{ready_descriptor}; exit 111; }}',
    ]
    for line in env:
        lines += [f"{{ {line}", f"}} || neu_failed $? {quote_word(line)}"]
    if environment:
        recorded = f'neu_environment {quote_word(environment)} "$(printf %q "${{neu_words[0]}}")"'
        lines += [*render_environment(), recorded]
    lines += [f"builtin printf . >&{ready_descriptor} || exit 111"]  # env has closed it, and nobody would know
    lines += [f"builtin exec {ready_descriptor}>&-", *_STAY, 'builtin exec "${neu_words[@]}"']
    return "\n".join(lines) + "\n"
