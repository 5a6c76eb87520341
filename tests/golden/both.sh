#!/bin/bash
#SBATCH --time=2-00:00:00
#SBATCH --account=myproject
#SBATCH --partition=big-gpu
#SBATCH --gres=gpu:p100:1
#SBATCH --mem=8000

# neurun's own: the name, the folder and the logs.
#SBATCH --job-name=train-1
#SBATCH --chdir=/home/me/exp
#SBATCH --output=/home/me/exp/runs/train-1/logs/job-%A_%a.txt
#SBATCH --error=/home/me/exp/runs/train-1/logs/job-%A_%a.txt
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@60
#SBATCH --requeue
#SBATCH --array=0-6

set +o posix; neu_messages=''
export NEU_EXPERIMENT=/home/me/exp/runs/train-1 NEU_NAME=train-1
if [ "${1-}" != --run ]; then  # the job: it starts its runs, each as this script with --run NUMBER
  : "${SLURM_ARRAY_TASK_ID:?this script is an array of runs; start it with sbatch}"
  neu_job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  if [ -n "${1-}" ] && [ -e "$NEU_EXPERIMENT/launches/$1.txt" ]; then  # its line i+1 has the runs of element i
    mapfile -t -s "$SLURM_ARRAY_TASK_ID" -n 1 neu_lines < "$NEU_EXPERIMENT/launches/$1.txt"
    read -ra neu_runs <<< "${neu_lines[0]:?"$1 has no line for element $SLURM_ARRAY_TASK_ID"}"
  else
    neu_runs=()
    for ((neu_run = SLURM_ARRAY_TASK_ID * 3; neu_run < 20; neu_run++)); do
      if [ "${#neu_runs[@]}" -lt 3 ]; then neu_runs+=("$neu_run"); fi
    done
  fi
  neu_pack_jobs=2
  neu_told='' neu_killed='' neu_signal=''
  neu_groups=''  # of the runs there are now: the numbers of their leaders, suspended ones, too
  neu_strays() {  # $1: a signal for processes outside those groups, of run $2, or without it of all: neu_found, how many
    # Workers in sessions of their own, say: their NEU_RUN_DIR tells the run, and SLURM_JOB_ID that it is this job's.
    local place='' word='' ours='' job='' stat='' all=''
    neu_found=0
    for place in /proc/[0-9]*; do
      if [ ! -O "$place" ]; then continue; fi
      # All of it at once, without its NULs: word by word a busy node takes seconds, of which few are left near the limit.
      IFS= read -r -N 9999999 all < "$place/environ"
      if [[ $all != *"NEU_RUN_DIR=$NEU_EXPERIMENT/${NEU_NAME}_"* ]]; then continue; fi
      ours='' job=''
      while IFS= read -r -d '' word; do
        case $word in
          "NEU_RUN_DIR=$NEU_EXPERIMENT/${NEU_NAME}_"*) if [ "${word##*_}" = "${2-"${word##*_}"}" ]; then ours=yes; fi ;;
          "SLURM_JOB_ID=$SLURM_JOB_ID") job=yes ;;
        esac
      done < "$place/environ"
      if [ "$ours$job" != yesyes ] || ! read -r stat < "$place/stat"; then continue; fi
      stat=${stat##*) ? } stat=${stat#* }  # its group comes next
      if [[ " $neu_groups " = *" ${stat%% *} "* ]]; then continue; fi
      if kill -s "$1" "${place#/proc/}"; then neu_found=$((neu_found + 1)); fi
    done 2> /dev/null
  }
  neu_signal=TERM neu_patience_seconds=50 neu_times=2
  neu_ended=''
  neu_tell() {  # $1: the signal that Slurm sent: USR1 near the time limit, TERM at the end
    local group
    if [ "$1" = TERM ]; then neu_ended=yes; fi
    if [ -n "$neu_told" ]; then return; fi
    neu_told=$1 neu_deadline=$((SECONDS + neu_patience_seconds))
    if [ "$1$neu_signal" = TERMTERM ]; then return; fi  # Slurm has sent it to them, too
    for group in $neu_groups; do kill -s "$neu_signal" -- "-$group"; done 2> /dev/null
    neu_strays "$neu_signal"
  }
  trap 'neu_tell USR1' USR1; trap 'neu_tell TERM' TERM INT
  # Linux sends HUP to a shell that is suspended while a child of its group ends. Not CONT, which Slurm sends just before
  # TERM: a trap of it would be at work when TERM comes, and the wait after it would not hear that (seen: bash 5.2).
  trap : HUP USR2 ALRM XCPU
  # Slurm itself puts a preempted job back; when it has been so often, it is not to.
  # Its own number, since that of an element may be that of the whole array.
  if [ "${SLURM_RESTART_COUNT:-0}" -ge "$neu_times" ]; then scontrol update JobId="$neu_job" Requeue=0; fi
  neu_ready() { :; }
  neu_launched() {  # told just before
    if [ -n "$neu_told" ]; then kill -s "$neu_signal" -- "-$!"; fi 2> /dev/null
  }
  neu_pause() {
    local group
    if [ "$neu_told" = USR1 ] && [ "$SECONDS" -ge "$neu_deadline" ]; then
      neu_killed=yes
      for group in $neu_groups; do kill -s KILL -- "-$group"; done 2> /dev/null
      neu_strays KILL
    fi
    if [ -n "$neu_told" ]; then sleep 0.2; else neu_wait; fi
  }
  neu_last() {  # workers that were told may save longer than their launcher lives
    if [ -n "$neu_told" ] && [ -z "$neu_killed" ]; then neu_strays 0; else neu_found=0; fi
  }
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
  }
  neu_run_of=()  # by the number of its group
  neu_count() {  # how many runs there are now: neu_running, neu_groups
    local group groups="" gone=()
    neu_running=0
    for group in $neu_groups; do
      if kill -0 "$group" 2> /dev/null; then
        groups+=" $group" neu_running=$((neu_running + 1))
      else
        gone+=("${neu_run_of[group]}")
      fi
    done
    neu_groups=$groups
    for group in "${gone[@]}"; do neu_clear "$group"; done
  }
  neu_clear() {  # what run $1 has left behind is not to keep its GPU from the next one
    local signal until
    if [ -n "$neu_told" ]; then return; fi
    for signal in TERM KILL; do
      until=$((SECONDS + 2))
      neu_strays "$signal" "$1"
      while [ "$neu_found" != 0 ] && [ "$SECONDS" -le "$until" ]; do sleep 0.1; neu_strays 0 "$1"; done
      if [ "$neu_found" = 0 ]; then return; fi
    done
  }
  neu_wait() {  # until one has ended; for a suspended one wait does not
    wait -n
    if [ "$?" = 127 ]; then sleep 1; fi
  }
  set -m  # each run leads a group of its own, which gets what it is told
  for neu_run in "${neu_runs[@]}"; do
    neu_look "$neu_run"
    if [ -n "$neu_end" ]; then continue; fi  # before this job was put back into the queue
    while [ -z "$neu_told" ] && neu_count && [ "$neu_running" -ge "$neu_pack_jobs" ]; do neu_wait; done
    neu_ready
    if [ -n "$neu_told" ]; then break; fi
    "$BASH" "${BASH_SOURCE[0]}" --run "$neu_run" ${1+"$1"} &
    neu_groups+=" $!" neu_run_of[$!]=$neu_run
    neu_launched "$neu_run"
  done
  while neu_count && neu_last && [ "$neu_running$neu_found" != 00 ]; do neu_pause; done
  set +m
  neu_left=() neu_code=0
  for neu_run in "${neu_runs[@]}"; do
    neu_look "$neu_run"
    if [ -n "$neu_killed" ] && [ -n "$neu_open" ]; then  # its recorder was killed with its program
      TZ=UTC0 printf -v neu_now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
      echo "finished $neu_now attempt=$neu_attempts signal=9 told=$neu_signal" >> "$neu_events"
    fi
    if [ -z "$neu_end" ]; then neu_left+=("$neu_run"); fi
    if [ "$neu_code" = 0 ]; then neu_code=${neu_end:-143}; fi
  done
  neu_is_cut_short() {  # by the time limit or a higher priority, and not by a person
    local said
    said=$(scontrol -o show job "$neu_job")
    [[ $said = *PreemptTime=[0-9]* || $said = *Reason=TimeLimit* ]] ||
      { [ -z "$neu_ended" ] && [[ $said != *JobState=C* ]]; }  # COMPLETING, CANCELLED
  }
  neu_say() {  # in the log of each run that is cut short
    local run
    for run in "${neu_left[@]}"; do
      neu_look "$run"
      if [ -z "$neu_ours" ]; then continue; fi  # it has not begun
      printf 'neurun: told to end: %s\n' "$1" >> "$NEU_EXPERIMENT/logs/${NEU_NAME}_$run.stderr"
    done
  }
  neu_put_back() {
    local pause
    for pause in 5 5 0; do  # it may find no controller
      if scontrol requeue "$neu_job"; then return; fi
      sleep "$pause"
    done
    neu_say 'scontrol could not put it back into the queue'
  }
  if [ "${#neu_left[@]}" != 0 ] && [ -n "$neu_told" ] && neu_is_cut_short; then
    neu_restarts=$((${SLURM_RESTART_COUNT:-0} + 1))
    if [ "$neu_restarts" -gt "$neu_times" ]; then
      neu_say "put back into the queue as often as --requeue=$neu_times lets"
    else
      neu_say "back into the queue ($neu_restarts of $neu_times)"  # before Slurm, which kills this shell with the job
      neu_put_back
    fi
  fi
  neu_messages="$NEU_EXPERIMENT/logs/job-$neu_job.txt"
  if [ -e "$neu_messages" ] && [ ! -s "$neu_messages" ]; then rm -f "$neu_messages"; fi
  exit $((neu_code > 255 ? 255 : neu_code))
fi

if [ -f /dev/stdin ]; then exec < /dev/stdin; fi  # of each run from its beginning
export NEU_INDEX=$2
exec >> "$NEU_EXPERIMENT/logs/${NEU_NAME}_$NEU_INDEX.stdout" 2>> "$NEU_EXPERIMENT/logs/${NEU_NAME}_$NEU_INDEX.stderr" || exit 111
export NEU_REPEAT=$((NEU_INDEX % 1))
neu_gate() {  # $1: this launch's token; jobs.jsonl tells whether this run is still its to execute
  local line='' token rest part parts why=''
  local -A later=()  # tokens of later launches of this run that hold
  if [ ! -r "$NEU_EXPERIMENT/jobs.jsonl" ]; then
    printf 'neurun: error: %s/jobs.jsonl: cannot be read; run %s is not started\n' "$NEU_EXPERIMENT" "$NEU_INDEX" >&2
    exit 111
  fi
  while IFS= read -r line || [ -n "$line" ]; do
    token=${line#'{"token": "'} token=${token%%\"*}
    rest=${line#'{"token": "'"$token"'", '}
    case $rest in
      '"scheduler": '*)
        if [ "$token" = "$1" ]; then later=(); continue; fi
        rest=${rest#*'"runs": "'}
        IFS=, read -ra parts <<< "${rest%%\"*}"
        for part in "${parts[@]}"; do
          if [ "${part%-*}" -le "$NEU_INDEX" ] && [ "${part#*-}" -ge "$NEU_INDEX" ]; then later[$token]=yes; fi
        done ;;
      '"refused": '*) if [ "$token" = "$1" ]; then why='was written off'; else unset "later[$token]"; fi ;;
      '"job": '*) if [ "$token" = "$1" ]; then why=''; fi ;;
    esac
  done < "$NEU_EXPERIMENT/jobs.jsonl"
  if [ -z "$why" ] && [ "${#later[@]}" != 0 ]; then why='is older than another launch of this run'; fi
  if [ -n "$why" ]; then
    printf 'neurun: run %s is not started: launch %s %s\n' "$NEU_INDEX" "$1" "$why" >&2
    exit 0
  fi
}
if [ -n "${3-}" ]; then neu_gate "$3"; fi  # not where it was submitted by hand
export NEU_RUN_DIR="$NEU_EXPERIMENT/${NEU_NAME}_$NEU_INDEX" NEU_ATTEMPT=1
unset NEU_POINT
unset SLURM_EXPORT_ENV  # of --export: srun would keep the run's variables from its steps
export PYTHONUNBUFFERED="${PYTHONUNBUFFERED-1}"  # logs grow as the program prints

neu_environment() {  # $1: the file; $2: the command line, or the eval of one, in bash's quoting
  if [ -e "$1" ]; then return 0; fi  # of another run of this job
  ( set -h +efuCx; IFS=' ' GLOBIGNORE=''; shopt -u failglob; shopt -s nullglob
    text='' words=()
    add() { text+="$1 ${2//$'\n'/ }"$'\n'; }
    neu_find() {  # as type -P, whose answer would take a fork
      found=''
      if [[ $1 = */* ]]; then [ -f "$1" ] && [ -x "$1" ] && found=$1
      else unset -f -- "$1"; enable -n -- "$1"; hash -- "$1" && found=${BASH_CMDS[$1]}; fi
    }
    add kernel "$(< /proc/sys/kernel/osrelease)"
    while read -r line; do
      if [[ $line = 'model name'* ]]; then add processor "${line#*: }"; break; fi
    done < /proc/cpuinfo
    if read -r line < /proc/driver/nvidia/version; then add driver "$line"; fi
    for name in /proc/driver/nvidia/gpus/*/information; do
      while read -r word line; do if [ "$word" = Model: ]; then add gpu "$line"; fi; done < "$name"
    done
    for name in CONDA_PREFIX VIRTUAL_ENV APPTAINER_CONTAINER SINGULARITY_CONTAINER PYTHONPATH LD_LIBRARY_PATH; do
      if [ -n "${!name-}" ]; then add variable "$name=${!name}"; fi
    done
    IFS=:; for name in ${LOADEDMODULES-}; do add module "$name"; done; IFS=' '
    case $2 in 'eval '*) eval "words=(${2#eval })"; set -- "$1" "${words[*]}" ;; esac
    eval "words=($2)"
    neu_find "${words[0]}"; program=$found
    if [ -n "$program" ]; then add program "$program"; fi
    python=$program
    if [[ ${program##*/} != python* ]]; then
      neu_find python || neu_find python3; python=$found
      if IFS= read -r -n 300 line < "$program" && [[ $line = '#!/'*/python* ]]; then
        line=${line#'#!'}; python=${line%% *}
      fi
    fi
    if [ -n "$python" ]; then
      add python "$python"
      prefix=${python%/*}; prefix=${prefix%/*}
      if [[ $python = */shims/* ]]; then  # of pyenv: which one it starts, its files say
        name=${PYENV_VERSION-} root=${python%/shims/*}
        [ -n "$name" ] || read -r name < .python-version || read -r name < "$root/version"
        prefix=$root/versions/$name
        add python-version "$name"
      elif [ -r "$prefix/pyvenv.cfg" ]; then
        while read -r word line; do
          if [[ $word = version* ]]; then add python-version "${line#= }"; fi
        done < "$prefix/pyvenv.cfg"
      fi
      for folder in "$prefix"/{lib/python3*/site-packages,lib/python3/dist-packages,local/lib/python3*/dist-packages} \
          "${HOME-}"/.local/lib/python3*/site-packages; do
        for name in "$folder"/{*.dist-info,*.egg-info,*.egg-link,__editable__*.pth}; do
          name=${name##*/}; add package "${name%.*}"
        done
      done
      for name in "$prefix"/conda-meta/*.json; do name=${name##*/}; add conda "${name%.json}"; done
    fi
    set -C; printf %s "$text" > "$1"
  ) 2> /dev/null || :
}
# The recorder: events.txt tells how this run began and ended. One writer, no process per line.
neu_event() {  # neu_event WORD [DETAILS]; env may have a function printf
  local now
  TZ=UTC0 builtin printf -v now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
  builtin printf '%s %s attempt=%s%s\n' "$1" "$now" "$NEU_ATTEMPT" "${2:+ $2}" >> "$NEU_RUN_DIR/events.txt"
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
    if [ "$2" = "${#neu_script[@]}" ]; then
      neu_stage='command'
      if [ -n "$neu_told" ]; then neu_finish 143 ''; fi  # told to end while env was done: nothing is begun any more
      # Without this event after one with env=, the command was never started: env may have replaced the shell (exec).
      if [[ $neu_started = *' env='* ]] && ! neu_event executed; then
        neu_stage='lost' neu_text='the events of the run cannot be written'; neu_finish 1 ''
      fi
      neu_environment "$NEU_EXPERIMENT/environments/$neu_key.txt" "$neu_text"
      neu_heed
      return
    fi
    case $neu_text in *eval*) neu_stage='eval' ;; esac  # its commands have lines of their own; neu_after follows
  fi
}
neu_heed() {  # again, where env has traps of its own: ours first, then those
  local name trapped
  for name in TERM INT HUP ${neu_signal-}; do
    eval "trapped=($(trap -p "$name"))"
    if [ "${#trapped[@]}" = 0 ] || [[ ${trapped[2]} != '' && ${trapped[2]} != neu_told=* ]]; then
      # shellcheck disable=SC2064  # now
      trap "neu_told=$name; ${trapped[2]-}" "$name"
    fi
  done
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
fi
# Slurm takes it back from its end, which the cache of settled runs may have.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then rm -f "$NEU_EXPERIMENT/settled.json"; fi
if [ "$NEU_ATTEMPT" -gt 1 ]; then  # where in the logs this attempt begins
  mapfile -t neu_lines < <(stat -L -c %s "/proc/$$/fd/1" "/proc/$$/fd/2" 2> /dev/null)
  neu_started=" stdout_bytes=${neu_lines[0]-0} stderr_bytes=${neu_lines[1]-0}"
fi
mapfile -t neu_script < "${BASH_SOURCE[0]}"
neu_stage=env neu_line=0 neu_text='' neu_told='' neu_theirs=()
neu_job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
neu_key=${neu_job:-$SLURM_JOB_ID}
neu_key=${neu_key%%[_.]*}_${SLURMD_NODENAME:-$HOSTNAME}  # the same for all runs that the job has on this node
neu_started+=' env=1'
neu_event started "host=${SLURMD_NODENAME:-$HOSTNAME} pid=$$ job=${neu_job:-$SLURM_JOB_ID}$neu_started" || exit 111
trap 'neu_finish "$?" "$(trap -p DEBUG)"' EXIT
# The program gets them too; stay to record how it ends, and that it was told to.
trap neu_told=TERM TERM; trap neu_told=INT INT; trap neu_told=HUP HUP
trap : USR1 USR2 ALRM XCPU VTALRM PROF IO
cd -- /home/me/exp || { neu_stage='lost' neu_text='the folder of the run cannot be entered: /home/me/exp'; exit 1; }
mapfile -t -s "$NEU_INDEX" -n 1 neu_lines < "$NEU_EXPERIMENT/commands.txt"
neu_command=${neu_lines[0]-}
if [ -z "$neu_command" ]; then
  neu_stage='lost' neu_text="commands.txt has no line for run $NEU_INDEX"
  exit 1
fi

set --  # what env sources is to see no words of ours
neu_signal=TERM; trap neu_told=TERM TERM
# Below: env, then on the last line the command. A line of env that fails ends the run.
trap 'neu_before "$?" "$LINENO"' DEBUG

source activate deep
eval "$neu_command"
