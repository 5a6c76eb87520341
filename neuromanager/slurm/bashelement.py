"""The part of run.sh that looks after a job whose runs are processes of their own: packed, or put back into the queue.

Slurm sends the signal of ``--signal=B:`` to the batch shell alone, and TERM to every process of a job that it ends or
takes back (sbatch(1); seen: 20.11, 22.05, 24.11). So the shell waits for its runs in the background, where a trap acts
at once, and what it is told reaches the group of each run; TERM by itself the programs do not hear.
"""

from __future__ import annotations

from neuromanager.experiment.layout import Arrangement

_KILLED_BEFORE_SECONDS = 10  # the time limit: what does not heed the signal
_TRIES = 3  # of scontrol, which may find no controller
_TRY_AGAIN_SECONDS = 5


def needs_element(arrangement: Arrangement) -> bool:
    return arrangement.pack > 1 or arrangement.requeue is not None


def element_options(arrangement: Arrangement) -> dict[str, str | None]:
    """neurun's own options of sbatch for it."""
    requeue = arrangement.requeue
    return {} if requeue is None else {"signal": f"B:USR1@{requeue.before_seconds}", "requeue": None}


def render_element(arrangement: Arrangement, run_count: int) -> list[str]:
    """What becomes ``--run NUMBER`` of this very script for each of its runs, and does not return."""
    requeue = arrangement.requeue
    lines = ['if [ "${1-}" != --run ]; then  # the job: it starts its runs, each as this script with --run NUMBER']
    body = ["neu_told=''", *_tell_runs(arrangement), *_which_runs(arrangement, run_count)]
    if requeue is not None:
        body += _end_with_last_time(requeue.times)
    body += [*_LOOK, *_start_runs(arrangement)]
    if requeue is not None:
        body += _put_back(requeue.times)
    body += [*_CLEAR, "exit $((neu_code > 255 ? 255 : neu_code))"]
    lines += [f"  {line}" if line else line for line in body]
    opened = ["if [ -f /dev/stdin ]; then exec < /dev/stdin; fi  # of each run from its beginning"]
    return [*lines, "fi", "", *(opened if arrangement.pack > 1 else ())]


def _end_with_last_time(times: int) -> list[str]:
    """Slurm itself puts a preempted job back; when it has been so often, it is not to."""
    update = 'scontrol update JobId="$neu_job" Requeue=0'  # its own number may be that of the whole array
    return [f'if [ "${{SLURM_RESTART_COUNT:-0}}" -ge {times} ]; then {update}; fi']


# In both forms of run.sh: it is an array, and launches/$1.txt, where there is one, has for element i its line i+1.
NEEDS_ARRAY = ': "${SLURM_ARRAY_TASK_ID:?this script is an array of runs; start it with sbatch}"'
READ_ELEMENT = '  mapfile -t -s "$SLURM_ARRAY_TASK_ID" -n 1 neu_lines < "$NEU_EXPERIMENT/launches/$1.txt"'
IS_MAPPED = 'if [ -n "${1-}" ] && [ -e "$NEU_EXPERIMENT/launches/$1.txt" ]; then'


def _which_runs(arrangement: Arrangement, run_count: int) -> list[str]:
    if run_count == 1:
        return ["neu_job=$SLURM_JOB_ID neu_runs=(0)"]
    pack = arrangement.pack
    lines = [
        NEEDS_ARRAY,
        "neu_job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID",
        IS_MAPPED + "  # its line i+1 has the runs of element i",
        READ_ELEMENT,
        '  read -ra neu_runs <<< "${neu_lines[0]:?"$1 has no line for element $SLURM_ARRAY_TASK_ID"}"',
        "else",
        *(["  neu_runs=()"] if pack > 1 else []),
    ]
    if pack == 1:
        return [*lines, '  neu_runs=("$SLURM_ARRAY_TASK_ID")', "fi"]
    return [
        *lines,
        f"  for ((neu_run = SLURM_ARRAY_TASK_ID * {pack}; neu_run < {run_count}; neu_run++)); do",
        f'    if [ "${{#neu_runs[@]}}" -lt {pack} ]; then neu_runs+=("$neu_run"); fi',
        "  done",
        "fi",
    ]


_LOOK = r"""# shellcheck disable=SC2034  # neu_open and neu_attempts are for --requeue
neu_look() {  # how run $1 ended in this job: neu_end, its exit code; empty when it is still to be run
  local line lines=() job=0
  neu_events="$NEU_EXPERIMENT/${NEU_NAME}_$1/events.txt" neu_end='' neu_ours='' neu_open='' neu_attempts=0
  if [ -e "$neu_events" ]; then mapfile -t lines < "$neu_events"; fi
  for line in "${lines[@]}"; do
    case "$line " in
      'started '*" job=$neu_job "*) neu_ours=yes neu_open=yes neu_end='' neu_attempts=$((neu_attempts + 1)) ;;
      'started '*) neu_ours='' neu_attempts=$((neu_attempts + 1)) job=0
        if [[ $line =~ \ job=([0-9]+) ]]; then job=${BASH_REMATCH[1]}; fi ;;
      'finished '*) neu_open=''
        if [ -z "$neu_ours" ]; then continue; fi  # of another job, which launched it again
        case "$line " in
          *' told='*) ;;
          *' exit_code='*) neu_end=${line#* exit_code=} neu_end=${neu_end%% *} ;;
          *' signal='*) neu_end=${line#* signal=} neu_end=$((128 + ${neu_end%% *})) ;;
        esac ;;
    esac
  done
  # What a later job has begun is not for one that was put back into the queue.
  if [ -z "$neu_ours" ] && [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && [ "$job" -gt "${neu_job%%_*}" ]; then
    neu_end=${neu_end:-0}
  fi
}""".split("\n")


# Linux sends HUP to a shell that is suspended while a child of its group ends.
_STAY = "trap : HUP USR1 USR2 ALRM XCPU CONT"


def _tell_runs(arrangement: Arrangement) -> list[str]:
    requeue = arrangement.requeue
    if requeue is None:  # each run gets TERM from Slurm, and records that it was told
        return ["trap 'neu_told=TERM' TERM INT", _STAY, _GROUPS]
    send = f'for neu_group in $neu_groups; do kill -s {requeue.signal} -- "-$neu_group"; done 2> /dev/null'
    patience_seconds = max(1, requeue.before_seconds - _KILLED_BEFORE_SECONDS)
    lines = [
        "neu_ended=''",
        _GROUPS,
        "# shellcheck disable=SC2317  # the traps call it",
        "neu_tell() {  # $1: the signal that Slurm sent: USR1 near the time limit, TERM at the end",
        '  if [ "$1" = TERM ]; then neu_ended=yes; fi',
        '  if [ -n "$neu_told" ]; then return; fi',
        f"  neu_told=$1 neu_deadline=$((SECONDS + {patience_seconds}))",
    ]
    if requeue.signal == "TERM":
        send = f'if [ "$1" != TERM ]; then {send}; fi  # else Slurm has sent it to them, too'
    heed = "trap 'neu_tell USR1' USR1; trap 'neu_tell TERM' TERM INT"
    return [*lines, f"  {send}", "}", heed, _STAY.replace("USR1 ", "")]


def _start_runs(arrangement: Arrangement) -> list[str]:
    deadline = [
        '  if [ "$neu_told" = USR1 ] && [ "$SECONDS" -ge "$neu_deadline" ]; then',
        "    neu_killed=yes",
        '    for neu_group in $neu_groups; do kill -s KILL -- "-$neu_group"; done 2> /dev/null',
        "  fi",
        '  if [ -n "$neu_told" ]; then sleep 0.2; else neu_wait; fi',
    ]
    signal = arrangement.requeue.signal if arrangement.requeue else ""
    tell_late = f'  if [ -n "$neu_told" ]; then kill -s {signal} -- "-$!"; fi 2> /dev/null  # told just before'
    remember = f'  neu_begun=("$neu_run" "${{neu_begun[@]:0:{arrangement.pack_jobs - 1}}}")'
    return [
        *_COUNT,
        *(["neu_killed=''"] if arrangement.requeue else _LISTEN),
        "set -m  # each run leads a group of its own, which gets what it is told",
        'for neu_run in "${neu_runs[@]}"; do',
        '  neu_look "$neu_run"',
        '  if [ -n "$neu_end" ]; then continue; fi  # before this job was put back into the queue',
        f'  while [ -z "$neu_told" ] && neu_count && [ "$neu_running" -ge {arrangement.pack_jobs} ]; do neu_wait; done',
        *([] if arrangement.requeue else ["  neu_listen"]),
        '  if [ -n "$neu_told" ]; then break; fi',
        '  "$BASH" "${BASH_SOURCE[0]}" --run "$neu_run" ${1+"$1"} &',
        '  neu_groups+=" $!"',
        tell_late if arrangement.requeue else remember,
        "done",
        'while neu_count && [ "$neu_running" != 0 ]; do',
        *(deadline if arrangement.requeue else ["  neu_wait"]),
        "done",
        "set +m",
        "neu_left=() neu_code=0",
        'for neu_run in "${neu_runs[@]}"; do',
        '  neu_look "$neu_run"',
        *(line.replace("SIGNAL", signal) for line in (_RECORD_KILL if arrangement.requeue else ())),
        '  if [ -z "$neu_end" ]; then neu_left+=("$neu_run"); fi',
        '  if [ "$neu_code" = 0 ]; then neu_code=${neu_end:-143}; fi',
        "done",
    ]


_GROUPS = "neu_groups=''  # of the runs there are now: the numbers of their leaders, suspended ones, too"
# No $(...) where signals come: a trap in the middle of it is a syntax error (seen: bash 5.2).
_COUNT = r"""neu_count() {  # how many runs there are now: neu_running, neu_groups
  local group groups=""
  neu_running=0
  for group in $neu_groups; do
    if kill -0 "$group" 2> /dev/null; then groups+=" $group" neu_running=$((neu_running + 1)); fi
  done
  neu_groups=$groups
}
neu_wait() {  # until one has ended; for a suspended one wait does not
  wait -n
  if [ "$?" = 127 ]; then sleep 1; fi
}""".split("\n")
# Slurm ends the processes of a job one after the other.
_LISTEN = r"""neu_begun=()
neu_listen() {  # where one of the last runs was told to end this shell may be told in an instant
  local run
  for run in "${neu_begun[@]}"; do
    neu_look "$run"
    if [ -n "$neu_ours" ] && [ -z "$neu_open" ] && [[ $neu_end = '' || $neu_end = 143 ]]; then sleep 0.5; return; fi
  done
}""".split("\n")
# The recorder was killed with its program.
_RECORD_KILL = r"""  if [ -n "$neu_killed" ] && [ -n "$neu_open" ]; then
    TZ=UTC0 printf -v neu_now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
    echo "finished $neu_now attempt=$neu_attempts signal=9 told=SIGNAL" >> "$neu_events"
  fi""".split("\n")
# What Slurm itself had to say stays.
_CLEAR = [
    'neu_messages="$NEU_EXPERIMENT/logs/job-$neu_job.txt"',
    'if [ -e "$neu_messages" ] && [ ! -s "$neu_messages" ]; then rm -f "$neu_messages"; fi',
]


def _put_back(times: int) -> list[str]:
    return [
        "neu_is_cut_short() {  # by the time limit or a higher priority, and not by a person",
        "  local said",
        '  said=$(scontrol -o show job "$neu_job")',
        "  [[ $said = *PreemptTime=[0-9]* || $said = *Reason=TimeLimit* ]] ||",
        '    { [ -z "$neu_ended" ] && [[ $said != *JobState=C* ]]; }  # COMPLETING, CANCELLED',
        "}",
        'if [ "${#neu_left[@]}" != 0 ] && [ -n "$neu_told" ] && neu_is_cut_short; then',
        "  neu_times=$((${SLURM_RESTART_COUNT:-0} + 1))",
        f"  neu_text='put back into the queue as often as --requeue={times} lets'",
        f'  if [ "$neu_times" -le {times} ]; then',
        f'    neu_text="back into the queue ($neu_times of {times})"',
        f"    for neu_try in {' '.join(map(str, range(1, _TRIES + 1)))}; do",
        '      if scontrol requeue "$neu_job"; then break; fi',
        f"      if [ \"$neu_try\" = {_TRIES} ]; then neu_text='scontrol could not put it back into the queue'; "
        f"else sleep {_TRY_AGAIN_SECONDS}; fi",
        "    done",
        "  fi",
        '  for neu_run in "${neu_left[@]}"; do',
        '    neu_look "$neu_run"',
        '    if [ -z "$neu_ours" ]; then continue; fi  # it has not begun',
        '    printf \'neurun: told to end: %s\\n\' "$neu_text" >> "$NEU_EXPERIMENT/logs/${NEU_NAME}_$neu_run.stderr"',
        "  done",
        "fi",
    ]
