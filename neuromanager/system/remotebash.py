"""The bash that serves a session on a host (system/reach.py): what it is told first.

The first line takes the place of whatever reads stdin there, start files included; its stdout is put aside until all is
ready. The environment is that of a login shell: ``bash -l`` writes it up to a NUL, and is not waited for beyond that (a
start file may leave a process that holds the pipe); if start files break it, the session does without.
"""

from __future__ import annotations

MOST_SAID_BYTES = 1 << 20  # on each stream, by what submits: a number, or what is wrong

_BEGIN = "\nexec bash --noprofile --norc /dev/fd/3 3<&0 4>&1 </dev/null >&2\n"

_SERVE = r"""export BASH_ENV= ENV=; neu_mark=@MARK@ neu_env=''
neu_tell='exec 2>/dev/null; \builtin printf %s @SEP@; \builtin export -p; \builtin printf "\0"'
IFS= read -r -d '' -t 30 neu_env < <(
  exec 3<&- 4>&-; exec bash -l -c "$neu_tell" </dev/null 2>/dev/null
) || neu_env=''
eval "${neu_env##*@SEP@}" 2>/dev/null; unset neu_env neu_tell BASH_ENV ENV
unset -f printf echo read unset export test '[' cd mkdir mv cat head timeout 2>/dev/null; IFS=$' \t\n'; unalias -a
set +eu; set +o posix
neu_done() {
  local code=$?
  printf '\n%s %s\n' "$neu_mark" "$code"; printf '\n%s %s\n' "$neu_mark" "$code" >&2
}
neu_answer() {
  if [ ! -s "$1/code" ]; then return 250; fi
  head -c @MOST@ "$1/out"; head -c @MOST@ "$1/err" >&2; return "$(<"$1/code")"
}
neu_keep() {  # CLAIM CODE: the last thing that is written of an answer
  echo "$2" > "$1/code.new"; mv "$1/code.new" "$1/code"
}
neu_submit() {  # CLAIM SECONDS COMMAND...: at most once, whoever asks; what it answered is kept
  local place=$1 seconds=$2; shift 2
  if mkdir -- "$place" 2>/dev/null; then
    (
      trap '' HUP PIPE
      timeout -k 5 "$seconds" "$@" > "$place/out" 2> "$place/err" < /dev/null
      neu_code=$?; truncate -s '<@MOST@' "$place/out" "$place/err" 2>/dev/null
      neu_keep "$place" "$neu_code"
    )
  elif [ ! -d "$place" ]; then
    mkdir -- "$place"; return 252
  fi
  neu_answer "$place"
}
neu_next() {  # as neu_submit, but not behind one that has not answered 0; 249: so it was not asked for
  if [ "$neu_said" != 0 ]; then return 249; fi
  neu_submit "$@"; neu_said=$?; return "$neu_said"
}
neu_settle() {  # CLAIM: its answer; 251: it has not been asked for, and never will be; 250: it is being asked for
  if mkdir -p -- "${1%/*}" && mkdir -- "$1" 2>/dev/null; then
    : > "$1/out"; echo 'never asked for' > "$1/err"; neu_keep "$1" 251
  fi
  neu_answer "$1"
}
exec 1>&4 4>&-
printf '\n%s hello %(%s)T\n' "$neu_mark" -1; printf '\n%s\n' "$neu_mark" >&2
"""


def render_session(mark: str) -> str:
    return _BEGIN + _SERVE.replace("@MARK@", mark).replace("@SEP@", mark[::-1]).replace("@MOST@", str(MOST_SAID_BYTES))
