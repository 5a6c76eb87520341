"""The text of run.sh: readable, close to what a person writes, and complete: ``sbatch run.sh`` by hand works too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from neuromanager.profile import Profile
from neuromanager.quoting import quote_sbatch, quote_word
from neuromanager.values import LONGEST_VARIABLE
from neuromanager.words import Command

# Words that bash would act on where a program's name stands.
_RESERVED = frozenset(
    "! case coproc do done elif else esac fi for function if in select then until while { } [[ ]] time".split()
)


class Job(NamedTuple):
    """What a script is to run: one run, or as many as commands.txt has lines."""

    directory: str  # the experiment's, absolute
    name: str
    cwd: str
    run_count: int
    repeats: int | None  # how many stand side by side; None: repeats.txt has them
    command: Command  # of the only run, when there is one
    point: str | None  # of the only run: JSON; "" when params.txt has the points; None without points


def quote_command(command: Command) -> str:
    """A command line on which bash finds a program first: no keyword, no assignment."""
    first = command[0]
    bare = quote_word(first)
    if bare == first and (first in _RESERVED or "=" in first):
        bare = f"'{first}'"
    return " ".join((bare, *map(quote_word, command[1:])))


def render_script(profile: Profile, job: Job) -> str:
    """run.sh: the profile's ``#SBATCH`` lines in file order, neurun's own, the recorder, ``env``, the command."""
    lines = ["#!/bin/bash", *(render_option(name, value) for name, value in profile.resources)]
    lines += ["", "# neurun's own: the name, the folder and the logs.", *_own_options(profile, job)]
    lines += ["", *_run_variables(profile, job), "", *_recorder(profile)]
    lines += [*(_READ_COMMAND if job.run_count > 1 else ()), ""]
    lines += [f"export {name}={quote_word(value)}" for name, value in profile.variables]
    lines += ["set --  # what env sources is to see no words of ours"] if job.run_count > 1 else []
    lines += ["# Below: env, then on the last line the command. A line of env that fails ends the run."]
    lines += ["trap 'neu_before \"$?\" \"$LINENO\"' DEBUG", "", *_env_lines(profile), _last_line(profile, job)]
    return "\n".join(lines) + "\n"


def render_option(name: str, value: str | None) -> str:
    return f"#SBATCH --{name}" if value is None else f"#SBATCH --{name}={quote_sbatch(value)}"


def _own_options(profile: Profile, job: Job) -> list[str]:
    given = {name for name, _ in profile.resources}
    element = "%a" if job.run_count > 1 else "0"
    log = f"{job.directory}/logs/{job.name}_".replace("%", "%%") + element
    own = {
        "job-name": quote_sbatch(job.name),
        "chdir": quote_sbatch(job.cwd),
        "output": quote_sbatch(log + ".stdout"),
        "error": quote_sbatch(log + ".stderr"),
        "open-mode": "append",
    }
    if "output" in given:
        del own["error"]  # as sbatch has it: one log for both, unless error is given too
    if job.run_count > 1:
        own["array"] = f"0-{job.run_count - 1}"
    return [f"#SBATCH --{name}={value}" for name, value in own.items() if name not in given]


def _own_logs(profile: Profile) -> list[str]:
    """Which of stdout and stderr go to the experiment's logs: those for which the profile has no other place."""
    given = {name for name, _ in profile.resources}
    return [] if "output" in given else ["stdout"] if "error" in given else ["stdout", "stderr"]


def _element_lines(profile: Profile) -> list[str]:
    """Which run this element of the array is; its output goes to the run's logs, whatever the element's number."""
    redirections = " ".join(
        f'{">>" if stream == "stdout" else "2>>"} "$NEU_EXPERIMENT/logs/${{NEU_NAME}}_$NEU_INDEX.{stream}"'
        for stream in _own_logs(profile)
    )
    messages = "$NEU_EXPERIMENT/logs/job-${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID.txt  # Slurm's own"
    redirect = [f"  exec {redirections} || exit 111", f"  neu_messages={messages}"]
    return [
        ': "${SLURM_ARRAY_TASK_ID:?this script is an array of runs; start it with sbatch}"',
        "export NEU_INDEX=$SLURM_ARRAY_TASK_ID",
        'if [ -n "${1-}" ]; then  # scattered runs: line i+1 of this file is the run of element i',
        '  mapfile -t -s "$SLURM_ARRAY_TASK_ID" -n 1 neu_lines < "$NEU_EXPERIMENT/$1"',
        '  NEU_INDEX=${neu_lines[0]:?"$1 has no line for element $SLURM_ARRAY_TASK_ID"}',
        *(redirect if redirections else ()),
        "fi",
    ]


def _repeat_lines(job: Job) -> list[str]:
    if job.repeats is not None:
        return [f"export NEU_REPEAT=$((NEU_INDEX % {job.repeats}))"]
    read = 'mapfile -t -s "$NEU_INDEX" -n 1 neu_lines < "$NEU_EXPERIMENT/repeats.txt"'
    return [read, "export NEU_REPEAT=${neu_lines[0]-}"]


def _run_variables(profile: Profile, job: Job) -> list[str]:
    lines = [
        "set +o posix; neu_messages=''",
        f"export NEU_EXPERIMENT={quote_word(job.directory)} NEU_NAME={quote_word(job.name)}",
    ]
    if job.run_count > 1:
        lines += _element_lines(profile) + _repeat_lines(job)
    else:
        lines.append("export NEU_INDEX=0 NEU_REPEAT=0")
    lines += [
        'export NEU_RUN_DIR="$NEU_EXPERIMENT/${NEU_NAME}_$NEU_INDEX" NEU_ATTEMPT=1',
        "unset NEU_POINT",
    ]
    if job.point:
        lines.append(f"neu_point={quote_word(job.point)}")
    elif job.point is not None:
        lines.append('mapfile -t -s "$NEU_INDEX" -n 1 neu_lines < "$NEU_EXPERIMENT/params.txt"')
        lines.append("neu_point=${neu_lines[0]-}")
    if job.point is not None:  # Linux takes no variable above 128 KiB, and would refuse to start the program
        without = ' || [ "$neu_point" = null ]' if not job.point else ""
        lines.append(f'[ "${{#neu_point}}" -gt {LONGEST_VARIABLE} ]{without} || export NEU_POINT="$neu_point"')
    lines.append('export PYTHONUNBUFFERED="${PYTHONUNBUFFERED-1}"  # logs grow as the program prints')
    return lines


_RECORDER = r"""# The recorder: events.txt tells how this run began and ended. One writer, no process per line.
neu_event() {  # neu_event WORD DETAILS
  local now
  TZ=UTC0 printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
  printf '%s %s attempt=%s %s\n' "$1" "$now" "$NEU_ATTEMPT" "$2" >> "$NEU_RUN_DIR/events.txt"
}
neu_finish() {  # on EXIT, however the script ends; $1: its exit code, $2: the trap on DEBUG, which env may have changed
  local code=$1 details
  if [ "$neu_stage" = lost ] || { [ "$neu_stage" != command ] && [[ $2 = *neu_before* ]]; }; then
    if [ "$neu_stage" != lost ]; then printf -v neu_text 'env failed (%s): %s' "$code" "$neu_text"; fi
    printf 'neurun: error: %s; the command was not started\n' "$neu_text" >&2
    printf -v details 'exit_code=111 reason=%q' "$neu_text"
    code=111
  elif [ "$code" -gt 128 ] && [ "$code" -le 192 ]; then
    details="signal=$((code - 128))"  # bash's way to say so
  else
    details="exit_code=$code"
  fi
  trap - DEBUG EXIT
  neu_event finished "$details${neu_told:+ told=$neu_told}"
  if [ -n "$neu_messages" ] && [ ! -s "$neu_messages" ]; then rm -f "$neu_messages"; fi
  eval "${neu_theirs[2]-}"  # what env wanted done on EXIT
  exit "$code"
}
neu_before() {  # before each command below; $1: how the last one ended, $2: the line of the next one
  # A lower line is the trap on EXIT, which bash calls line 1.
  if [ "$neu_stage" = env ] && [ "$2" -gt "$neu_line" ]; then
    if [ "$1" != 0 ]; then neu_text=${neu_script[$2 - 2]}; neu_finish "$1" neu_before; fi
    neu_line=$2 neu_text=${neu_script[$2 - 1]}
    neu_trap=$(trap -p EXIT)
    if [[ $neu_trap != *neu_finish* ]]; then  # env has set one of its own: ours first, then that
      eval "neu_theirs=($neu_trap)"
      trap 'neu_finish "$?" "$(trap -p DEBUG)"' EXIT
    fi
    if [ "$2" = "${#neu_script[@]}" ]; then neu_stage='command'; return; fi
    case $neu_text in *eval*) neu_stage='eval' ;; esac  # its commands have lines of their own; neu_after follows
  fi
}
neu_after() {  # after a line with eval; $1: how it ended
  neu_stage='env'
  if [ "$1" != 0 ]; then neu_finish "$1" neu_before; fi
}
mkdir -p "$NEU_RUN_DIR" || exit 111
neu_started=''
if [ -e "$NEU_RUN_DIR/events.txt" ]; then  # requeued or launched again: one more attempt of the same run
  mapfile neu_lines < "$NEU_RUN_DIR/events.txt"
  for neu_line in "${neu_lines[@]}"; do
    if [[ $neu_line = started\ * ]]; then NEU_ATTEMPT=$((NEU_ATTEMPT + 1)); fi
  done
  # What a full disk or a kill left of a line gets an end of its own.
  if [ "${#neu_lines[@]}" != 0 ] && [[ ${neu_lines[-1]} != *$'\n' ]]; then echo >> "$NEU_RUN_DIR/events.txt"; fi
  # Slurm takes it back from its end, which the cache of settled runs may have.
  if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then rm -f "$NEU_EXPERIMENT/settled.json"; fi
fi
if [ "$NEU_ATTEMPT" -gt 1 ]; then  # where in the logs this attempt begins
  mapfile -t neu_lines < <(stat -L -c %s "/proc/$$/fd/1" "/proc/$$/fd/2" 2> /dev/null)
  neu_started=" stdout_bytes=${neu_lines[0]-0} stderr_bytes=${neu_lines[1]-0}"
fi
mapfile -t neu_script < "${BASH_SOURCE[0]}"
neu_stage=env neu_line=0 neu_text='' neu_told='' neu_theirs=()
neu_job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
neu_event started "host=${SLURMD_NODENAME:-$HOSTNAME} pid=$$ job=${neu_job:-$SLURM_JOB_ID}$neu_started" || exit 111
trap 'neu_finish "$?" "$(trap -p DEBUG)"' EXIT
# The program gets them too; stay to record how it ends, and that it was told to.
trap neu_told=TERM TERM; trap neu_told=INT INT; trap neu_told=HUP HUP
trap : USR1 USR2 ALRM XCPU VTALRM PROF IO""".split("\n")


_READ_COMMAND = r"""mapfile -t -s "$NEU_INDEX" -n 1 neu_lines < "$NEU_EXPERIMENT/commands.txt"
neu_command=${neu_lines[0]-}
if [ -z "$neu_command" ]; then
  neu_stage='lost' neu_text="commands.txt has no line for run $NEU_INDEX"
  exit 1
fi""".split("\n")


def _recorder(profile: Profile) -> list[str]:
    """The recorder; where the profile has logs of its own, the first event tells where they are."""
    own = _own_logs(profile)
    told = [f' {stream}=%q' for stream in ("stdout", "stderr") if stream not in own]
    if not told:
        return _RECORDER
    paths = " ".join(
        f'"$(readlink "/proc/$$/fd/{number}")"'
        for number, stream in ((1, "stdout"), (2, "stderr")) if stream not in own
    )  # fmt: skip
    tell = [f"printf -v neu_logs '{''.join(told)}' {paths}", "neu_started+=$neu_logs"]
    place = next(index for index, line in enumerate(_RECORDER) if line.startswith("neu_event started"))
    return [*_RECORDER[:place], *tell, *_RECORDER[place:]]


def _env_lines(profile: Profile) -> list[str]:
    """env as it was written; bash numbers the lines inside an ``eval`` as if they were the script's next ones."""
    return [text for line in profile.env for text in ((line, 'neu_after "$?"') if "eval" in line else (line,))]


def _last_line(profile: Profile, job: Job) -> str:
    if job.run_count == 1:
        return quote_command((*profile.wrap, *job.command))
    # eval reads its words twice, so wrap is quoted twice.
    wrap = "".join(quote_word(quote_word(word)) + " " for word in profile.wrap)
    return f'eval {wrap}"$neu_command"'


def render_env_script(env: tuple[str, ...], ready_descriptor: int) -> str:
    """For ``bash -c TEXT neurun WORDS...`` on this machine: env, then the words' program.

    The descriptor is told ``.`` before the program starts, or the line that failed; nothing when env left by itself.
    """
    lines = [
        "set +o posix",
        'neu_words=("$@"); set --',  # a script that env sources is to see no words
        "neu_failed() { printf 'neurun: error: env failed (%s): %s; the command was not started\\n' "
        f'"$1" "$2" >&2; printf "env failed (%s): %s" "$1" "$2" >&{ready_descriptor}; exit 111; }}',
    ]
    for line in env:
        lines += [f"{{ {line}", f"}} || neu_failed $? {quote_word(line)}"]
    lines += [f"printf . >&{ready_descriptor}", f"exec {ready_descriptor}>&-", 'exec "${neu_words[@]}"']
    return "\n".join(lines) + "\n"


def hide_colons(words: Sequence[str]) -> list[str]:
    """One more colon for words of nothing else: a lone one divides the parts of a heterogeneous job (srun(1))."""
    return [f":{word}" if word and not word.strip(":") else word for word in words]


def render_attached_script(profile: Profile) -> str:
    """For ``bash -c TEXT neurun WORDS...`` under srun: variables and env, then the words' program; 111 if env fails.

    The words are those of ``hide_colons``.
    """
    lines = [
        "set +o posix",
        'neu_words=()',
        'for neu_word; do',
        '  if [ -n "$neu_word" ] && [ -z "${neu_word//:/}" ]; then neu_word=${neu_word#:}; fi',
        '  neu_words+=("$neu_word")',
        "done; set --  # what env sources is to see no words",
        "neu_failed() { printf 'neurun: error: env failed (%s): %s; the command was not started\\n' "
        '"$1" "$2" >&2; exit 111; }',
        *(f"export {name}={quote_word(value)}" for name, value in profile.variables),
    ]
    for line in profile.env:
        lines += [f"{{ {line}", f"}} || neu_failed $? {quote_word(line)}"]
    return "\n".join([*lines, 'exec "${neu_words[@]}"', ""])


def render_commands(commands: list[Command]) -> str:
    """commands.txt: line i is run i's command line; ``sed -n 5p commands.txt | bash`` runs it."""
    return "".join(quote_command(command) + "\n" for command in commands)
