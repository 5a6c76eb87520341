"""What each run's script has, whichever batch system starts it: repeat, point, folder, env, the command."""

from __future__ import annotations

from neuromanager.experiment.submission import Job
from neuromanager.profile.profile import Profile
from neuromanager.system.jsonvalues import LONGEST_VARIABLE
from neuromanager.system.quoting import quote_command, quote_word


def repeat_lines(job: Job) -> list[str]:
    if job.repeats is not None:
        return [f"export NEU_REPEAT=$((NEU_INDEX % {job.repeats}))"]
    read = 'mapfile -t -s "$NEU_INDEX" -n 1 neu_lines < "$NEU_EXPERIMENT/repeats.txt"'
    return [read, "export NEU_REPEAT=${neu_lines[0]-}"]


def point_lines(job: Job) -> list[str]:
    """NEU_POINT; nothing without points."""
    lines = []
    if job.point:
        lines.append(f"neu_point={quote_word(job.point)}")
    elif job.point is not None:
        lines.append('mapfile -t -s "$NEU_INDEX" -n 1 neu_lines < "$NEU_EXPERIMENT/params.txt"')
        lines.append("neu_point=${neu_lines[0]-}")
    if job.point is not None:  # Linux takes no variable above 128 KiB, and would refuse to start the program
        without = ' || [ "$neu_point" = null ]' if not job.point else ""
        lines.append(f'[ "${{#neu_point}}" -gt {LONGEST_VARIABLE} ]{without} || export NEU_POINT="$neu_point"')
    return lines


def enter(cwd: str) -> str:
    """A scheduler may execute a job elsewhere when its folder is gone: Slurm in /tmp (slurmstepd, "couldn't chdir")."""
    text = quote_word(f"the folder of the run cannot be entered: {cwd}")
    return f"cd -- {quote_word(cwd)} || {{ neu_stage='lost' neu_text={text}; exit 1; }}"


READ_COMMAND = r"""mapfile -t -s "$NEU_INDEX" -n 1 neu_lines < "$NEU_EXPERIMENT/commands.txt"
neu_command=${neu_lines[0]-}
if [ -z "$neu_command" ]; then
  neu_stage='lost' neu_text="commands.txt has no line for run $NEU_INDEX"
  exit 1
fi""".split("\n")


def env_lines(profile: Profile) -> list[str]:
    """env as it was written; bash numbers the lines inside an ``eval`` as if they were the script's next ones."""
    return [text for line in profile.env for text in ((line, 'neu_after "$?"') if "eval" in line else (line,))]


def last_line(profile: Profile, job: Job) -> str:
    if job.run_count == 1:
        return quote_command((*profile.wrap, *job.command))
    # eval reads its words twice, so wrap is quoted twice.
    wrap = "".join(quote_word(quote_word(word)) + " " for word in profile.wrap)
    return f'eval {wrap}"$neu_command"'
