"""The text of run.sh: what HTCondor executes. launches/TOKEN.sh is the one that a launch was made with."""

from __future__ import annotations

from neuromanager.experiment.bashrecorder import render_gate, render_recorder
from neuromanager.experiment.bashrun import READ_COMMAND, enter, env_lines, last_line, point_lines, repeat_lines
from neuromanager.experiment.layout import PLAIN, Arrangement
from neuromanager.experiment.submission import Job
from neuromanager.htcondor.element import render_element
from neuromanager.htcondor.keys import RETRYING, find_value, has_any, transfers_files
from neuromanager.profile.profile import Profile
from neuromanager.system.quoting import quote_word


def render_script(profile: Profile, job: Job, arrangement: Arrangement = PLAIN) -> str:
    """The job's part, the recorder, ``env``, the command. Its words: the runs of the job, its number, the token."""
    if job.run_count == 1:
        arrangement = arrangement._replace(pack=1, pack_jobs=1)
    away = transfers_files(profile.resources)
    place = '"$PWD"' if away else quote_word(job.directory)
    logs = "$NEU_EXPERIMENT/" + ("${NEU_NAME}_$NEU_INDEX" if away else "logs") + "/${NEU_NAME}_$NEU_INDEX"
    lines = [
        "#!/bin/bash",
        "set +o posix; neu_messages=''",
        f"export NEU_EXPERIMENT={place} NEU_NAME={quote_word(job.name)}",
        *render_element(arrangement, _find_limit(profile), has_any(profile.resources, RETRYING)),
        "export NEU_INDEX=$2",
        *(['mkdir -p "$NEU_EXPERIMENT/${NEU_NAME}_$NEU_INDEX" || exit 111'] if away else ()),
        f'exec >> "{logs}.stdout" 2>> "{logs}.stderr" < /dev/null || exit 111',
        *(repeat_lines(job) if job.run_count > 1 else ["export NEU_REPEAT=0"]),
        *render_gate(),
        'neu_job=$3; neu_gate "$4"',
        'export NEU_RUN_DIR="$NEU_EXPERIMENT/${NEU_NAME}_$NEU_INDEX" NEU_ATTEMPT=1',
        "unset NEU_POINT",
        *point_lines(job),
        'export PYTHONUNBUFFERED="${PYTHONUNBUFFERED-1}"  # logs grow as the program prints',
        "",
        *render_recorder(
            "HTCondor", '[ "$NEU_ATTEMPT" -gt 1 ]', ("$neu_job",), "$HOSTNAME", profile.env, _tell() if away else ()
        ),
        *(() if away else [enter(job.cwd)]),
        *(READ_COMMAND if job.run_count > 1 else ()),
        "",
        *(f"export {name}={quote_word(value)}" for name, value in profile.variables),
        "set --  # what env sources is to see no words of ours",
        *(_heed(arrangement.requeue.signal) if arrangement.requeue else ()),
        "# Below: env, then on the last line the command. A line of env that fails ends the run.",
        'trap \'neu_before "$?" "$LINENO"\' DEBUG',
        "",
        *env_lines(profile),
        last_line(profile, job),
    ]
    return "\n".join(lines) + "\n"


def _find_limit(profile: Profile) -> int | None:
    """Seconds."""
    limit = find_value(profile.resources, "allowed_job_duration") or ""
    return int(limit) if limit.isdecimal() else None


def _tell() -> list[str]:
    """Where the logs are when they have come back: a log of a second launch must not replace that of the first."""
    return [
        "neu_place=${NEU_NAME}_$NEU_INDEX/${NEU_NAME}_$NEU_INDEX",
        'printf -v neu_logs \' stdout=%q stderr=%q\' "$neu_place.stdout" "$neu_place.stderr"; neu_started+=$neu_logs',
    ]


def _heed(signal: str) -> list[str]:
    return [f"neu_signal={signal}; trap neu_told={signal} {signal}"]
