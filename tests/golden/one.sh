#!/bin/bash
#SBATCH --time=2-00:00:00
#SBATCH --account=myproject
#SBATCH --partition=big-gpu
#SBATCH --gres=gpu:p100:1
#SBATCH --mem=8000

# neurun's own: the name, the folder and the logs.
#SBATCH --job-name=train-1
#SBATCH --chdir=/home/me/exp
#SBATCH --output=/home/me/exp/runs/train-1/logs/train-1_0.stdout
#SBATCH --error=/home/me/exp/runs/train-1/logs/train-1_0.stderr
#SBATCH --open-mode=append

set +o posix; neu_messages=''
export NEU_EXPERIMENT=/home/me/exp/runs/train-1 NEU_NAME=train-1
export NEU_INDEX=0 NEU_REPEAT=0
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
if [ -n "${1-}" ]; then neu_gate "$1"; fi  # not where it was submitted by hand
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

set --  # what env sources is to see no words of ours
# Below: env, then on the last line the command. A line of env that fails ends the run.
trap 'neu_before "$?" "$LINENO"' DEBUG

source activate deep
python train.py --lr=0.1
