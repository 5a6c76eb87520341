"""The text of run.sh: readable, close to what a person writes, and complete: ``sbatch run.sh`` by hand works too."""

from __future__ import annotations

from neuromanager.experiment.bashrecorder import render_gate, render_recorder
from neuromanager.experiment.bashrun import READ_COMMAND, enter, env_lines, last_line, point_lines, repeat_lines
from neuromanager.experiment.layout import PLAIN, Arrangement, whole_array
from neuromanager.experiment.submission import Job
from neuromanager.profile.profile import Profile
from neuromanager.slurm.bashelement import (
    IS_MAPPED,
    NEEDS_ARRAY,
    READ_ELEMENT,
    element_options,
    needs_element,
    render_element,
)
from neuromanager.system.quoting import quote_directive, quote_word
from neuromanager.system.values import Sequence


def render_script(profile: Profile, job: Job, arrangement: Arrangement = PLAIN) -> str:
    """run.sh: the profile's ``#SBATCH`` lines in file order, neurun's own, the recorder, ``env``, the command."""
    if job.run_count == 1:
        arrangement = arrangement._replace(pack=1, pack_jobs=1)
    lines = ["#!/bin/bash", *(render_option(name, value) for name, value in profile.resources)]
    lines += ["", "# neurun's own: the name, the folder and the logs.", *_own_options(profile, job, arrangement)]
    lines += ["", *_run_variables(profile, job, arrangement), "", *_recorder(profile)]
    lines += [enter(job.cwd), *(READ_COMMAND if job.run_count > 1 else ()), ""]
    lines += [f"export {name}={quote_word(value)}" for name, value in profile.variables]
    lines += ["set --  # what env sources is to see no words of ours"]
    if arrangement.requeue:
        lines += _heed(arrangement.requeue.signal)
    lines += ["# Below: env, then on the last line the command. A line of env that fails ends the run."]
    lines += ['trap \'neu_before "$?" "$LINENO"\' DEBUG', "", *env_lines(profile), last_line(profile, job)]
    return "\n".join(lines) + "\n"


def render_option(name: str, value: str | None) -> str:
    return f"#SBATCH --{name}" if value is None else f"#SBATCH --{name}={quote_directive(value)}"


def _own_options(profile: Profile, job: Job, arrangement: Arrangement) -> list[str]:
    given = {name for name, _ in profile.resources}
    element = "%a" if job.run_count > 1 else "0"
    log = f"{job.directory}/logs/{job.name}_".replace("%", "%%") + element
    messages = f"{job.directory}/logs/job-".replace("%", "%%") + "%A_%a.txt"  # of an element of several runs
    packed = arrangement.pack > 1
    own: dict[str, str | None] = {
        "job-name": quote_directive(job.name),
        "chdir": quote_directive(job.cwd),
        "output": quote_directive(messages if packed else log + ".stdout"),
        "error": quote_directive(messages if packed else log + ".stderr"),
        "open-mode": "append",
        **element_options(arrangement),
    }
    if "output" in given:
        del own["error"]  # as sbatch has it: one log for both, unless error is given too
    if job.run_count > 1:
        own["array"] = whole_array(job.run_count, arrangement.pack)
    return [
        "#SBATCH --" + (name if value is None else f"{name}={value}")
        for name, value in own.items()
        if name not in given
    ]


def _own_logs(profile: Profile) -> list[str]:
    """Which of stdout and stderr go to the experiment's logs: those for which the profile has no other place."""
    given = {name for name, _ in profile.resources}
    return [] if "output" in given else ["stdout"] if "error" in given else ["stdout", "stderr"]


_MESSAGES = "$NEU_EXPERIMENT/logs/job-${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID.txt  # Slurm's own"


def _element_lines(profile: Profile) -> list[str]:
    """Which run this element of the array is; its output goes to the run's logs, whatever the element's number."""
    redirect = [*_redirect(profile), f"  neu_messages={_MESSAGES}"]
    return [
        NEEDS_ARRAY,
        "export NEU_INDEX=$SLURM_ARRAY_TASK_ID",
        IS_MAPPED + "  # scattered runs: its line i+1 is the run of element i",
        READ_ELEMENT,
        '  NEU_INDEX=${neu_lines[0]:?"$1 has no line for element $SLURM_ARRAY_TASK_ID"}',
        *(redirect if _own_logs(profile) else ()),
        "fi",
    ]


def _redirect(profile: Profile) -> list[str]:
    redirections = " ".join(
        f'{">>" if stream == "stdout" else "2>>"} "$NEU_EXPERIMENT/logs/${{NEU_NAME}}_$NEU_INDEX.{stream}"'
        for stream in _own_logs(profile)
    )
    return [f"  exec {redirections} || exit 111"] if redirections else []


def _run_lines(profile: Profile, job: Job, arrangement: Arrangement) -> list[str]:
    """The job's own part, and then which run this is."""
    lines = [*render_element(arrangement, job.run_count), "export NEU_INDEX=$2"]
    redirect = _redirect(profile)
    if job.run_count == 1 or not redirect:
        return lines
    if arrangement.pack > 1:
        return lines + [line.strip() for line in redirect]
    return [*lines, IS_MAPPED.replace("$1", "$3").replace("1-", "3-"), *redirect, "fi"]


def _run_variables(profile: Profile, job: Job, arrangement: Arrangement) -> list[str]:
    lines = [
        "set +o posix; neu_messages=''",
        f"export NEU_EXPERIMENT={quote_word(job.directory)} NEU_NAME={quote_word(job.name)}",
    ]
    if needs_element(arrangement):
        lines += _run_lines(profile, job, arrangement)
        lines += repeat_lines(job) if job.run_count > 1 else ["export NEU_REPEAT=0"]
    elif job.run_count > 1:
        lines += _element_lines(profile) + repeat_lines(job)
    else:
        lines.append("export NEU_INDEX=0 NEU_REPEAT=0")
    token = "3" if needs_element(arrangement) else "1"
    lines += [
        *render_gate(),
        f'if [ -n "${{{token}-}}" ]; then neu_gate "${token}"; fi  # not where it was submitted by hand',
    ]
    lines += ['export NEU_RUN_DIR="$NEU_EXPERIMENT/${NEU_NAME}_$NEU_INDEX" NEU_ATTEMPT=1', "unset NEU_POINT"]
    lines += point_lines(job)
    lines.append("unset SLURM_EXPORT_ENV  # of --export: srun would keep the run's variables from its steps")
    lines.append('export PYTHONUNBUFFERED="${PYTHONUNBUFFERED-1}"  # logs grow as the program prints')
    return lines


def _recorder(profile: Profile) -> list[str]:
    """The recorder; where the profile has logs of its own, the first event tells where they are."""
    own = _own_logs(profile)
    theirs = [(number, stream) for number, stream in ((1, "stdout"), (2, "stderr")) if stream not in own]
    told = "".join(f" {stream}=%q" for _, stream in theirs)
    paths = " ".join(f'"$(readlink "/proc/$$/fd/{number}")"' for number, _ in theirs)
    tell = [f"printf -v neu_logs '{told}' {paths}", "neu_started+=$neu_logs"] if theirs else []
    return render_recorder(
        "Slurm",
        '[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]',
        ("neu_job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}", "${neu_job:-$SLURM_JOB_ID}"),
        "${SLURMD_NODENAME:-$HOSTNAME}",
        profile.env,
        tell,
    )


def _heed(signal: str) -> list[str]:
    """What the program is told with is recorded; TERM, which Slurm sends with it, is not for the program."""
    lines = [f"neu_signal={signal}; trap neu_told={signal} {signal}"]
    return lines if signal == "TERM" else [*lines, "trap '' TERM  # the job passes it on as " + signal]


def hide_colons(words: Sequence[str]) -> list[str]:
    """One more colon for words of nothing else: a lone one divides the parts of a heterogeneous job (srun(1))."""
    return [f":{word}" if word and not word.strip(":") else word for word in words]


def render_attached_script(profile: Profile) -> str:
    """For ``bash -c TEXT neurun WORDS...`` under srun: variables and env, then the words' program; 111 if env fails.

    The words are those of ``hide_colons``.
    """
    lines = [
        "set +o posix",
        "neu_words=()",
        "for neu_word; do",
        '  if [ -n "$neu_word" ] && [ -z "${neu_word//:/}" ]; then neu_word=${neu_word#:}; fi',
        '  neu_words+=("$neu_word")',
        "done; set --  # what env sources is to see no words",
        "neu_failed() { printf 'neuattach: error: env failed (%s): %s; the command was not started\\n' "
        '"$1" "$2" >&2; exit 111; }',
        *(f"export {name}={quote_word(value)}" for name, value in profile.variables),
    ]
    for line in profile.env:
        lines += [f"{{ {line}", f"}} || neu_failed $? {quote_word(line)}"]
    return "\n".join([*lines, 'exec "${neu_words[@]}"', ""])
