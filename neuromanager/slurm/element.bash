# A job whose runs are processes of their own: packed, or put back into the queue. `#: NAME` begins a part (bashelement.py).
#
# Slurm sends the signal of --signal=B: to the batch shell alone, and TERM to every process of a job that it ends or
# takes back (sbatch(1); seen: 20.11, 22.05, 24.11). So the shell waits for its runs in the background, where a trap
# acts at once, and what it is told reaches the group of each run; TERM by itself the programs do not hear.
# No $(...) where signals come: a trap in the middle of it is a syntax error (seen: bash 5.2).
# Set before: neu_job neu_runs neu_pack_jobs; for --requeue also neu_signal neu_patience_seconds neu_times.
#
# shellcheck shell=bash disable=SC2034,SC2154,SC2317  # what one part sets or defines, another uses

#: told
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

#: plain: each run gets TERM from Slurm, and records that it was told
trap 'neu_told=TERM' TERM INT
# Linux sends HUP to a shell that is suspended while a child of its group ends. Not CONT, which Slurm sends just before
# TERM: a trap of it would be at work when TERM comes, and the wait after it would not hear that (seen: bash 5.2).
trap : HUP USR1 USR2 ALRM XCPU
neu_begun=()
# Slurm ends the processes of a job one after the other.
neu_ready() {  # where one of the last runs was told to end this shell may be told in an instant
  local run
  for run in "${neu_begun[@]}"; do
    neu_look "$run"
    if [ -n "$neu_ours" ] && [ -z "$neu_open" ] && [[ $neu_end = '' || $neu_end = 143 ]]; then sleep 0.5; return; fi
  done
}
neu_launched() { neu_begun=("$1" "${neu_begun[@]:0:neu_pack_jobs - 1}"); }
neu_pause() { neu_wait; }
neu_last() { neu_found=0; }  # Slurm ends what is left with the job

#: requeue: near the time limit the runs are told, and what does not heed is killed before Slurm would
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

#: runs: one after the other, so many at a time, each as this script with --run NUMBER
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

#: put-back
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

#: end: what Slurm itself had to say stays
neu_messages="$NEU_EXPERIMENT/logs/job-$neu_job.txt"
if [ -e "$neu_messages" ] && [ ! -s "$neu_messages" ]; then rm -f "$neu_messages"; fi
exit $((neu_code > 255 ? 255 : neu_code))
