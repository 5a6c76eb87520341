# The job's own part of its script: the shell that HTCondor knows, which starts the runs and passes signals on.
# `#: NAME` begins a part (element.py).
#
# HTCondor tells the first process of a job alone that it is to end (condor_rm, condor_vacate_job). bash acts on a trap
# only when its foreground child has ended; so this shell has none. It waits, and each run leads a group of its own.
# No $(...) where signals come: a trap in the middle of it is a syntax error (seen: bash 5.2).
# Set before: neu_signal neu_pack_jobs; for --requeue also neu_patience_seconds, neu_timer_seconds.
# Its words: the runs of the job, its number, the launch's token.
#
# shellcheck shell=bash disable=SC2034,SC2154,SC2317  # what one part sets or defines, another uses

#: begin
neu_job=$2 neu_told='' neu_killed='' neu_timer=''
neu_groups=''  # of the runs there are now: the numbers of their leaders
read -ra neu_runs <<< "$1"
neu_tell() {  # once, to all runs there are; $1: what this shell was told with
  local group
  if [ -n "$neu_told" ]; then return; fi
  neu_told=$1 neu_deadline=$((SECONDS + ${neu_patience_seconds:-0}))
  for group in $neu_groups; do kill -s "$neu_signal" -- "-$group"; done 2> /dev/null
}
trap 'neu_tell TERM' TERM INT HUP
neu_skips() { neu_look "$1"; [ -n "$neu_end" ]; }  # it ended before HTCondor started this job again
neu_pause() { neu_wait; }

#: retries: what the profile has HTCondor execute again, after an end of its own
neu_skips() { false; }

#: requeue: HTCondor warns nobody of a time limit; what does not heed is killed before that
neu_pause() {
  local group
  if [ "$neu_told" = USR1 ] && [ "$SECONDS" -ge "$neu_deadline" ]; then
    neu_killed=yes
    for group in $neu_groups; do kill -s KILL -- "-$group"; done 2> /dev/null
  fi
  if [ -n "$neu_told" ]; then sleep 0.2; else neu_wait; fi
}

#: timer
trap 'neu_tell USR1' USR1
( exec > /dev/null 2>&1; sleep "$neu_timer_seconds" & trap 'kill $!; exit' TERM; wait $!; kill -s USR1 $$ ) &
neu_timer=$!

#: runs: so many at a time, each as this script with --run NUMBER
neu_look() {  # how run $1 ended in this job: neu_end, its exit code; empty when it is still to be run
  local line lines=() ours=''
  neu_events="$NEU_EXPERIMENT/${NEU_NAME}_$1/events.txt" neu_end='' neu_open='' neu_attempts=0
  if [ -e "$neu_events" ]; then mapfile -t lines < "$neu_events"; fi
  for line in "${lines[@]}"; do
    case "$line " in
      'started '*" job=$neu_job "*) ours=yes neu_open=yes neu_end='' neu_attempts=$((neu_attempts + 1)) ;;
      'started '*) ours='' neu_end='' neu_attempts=$((neu_attempts + 1)) ;;
      'finished '*) neu_open=''
        if [ -z "$ours" ]; then continue; fi  # of another job
        case "$line " in
          *' told='*) ;;
          *' exit_code='*) neu_end=${line#* exit_code=} neu_end=${neu_end%% *} ;;
          *' signal='*) neu_end=${line#* signal=} neu_end=$((128 + ${neu_end%% *})) ;;
        esac ;;
    esac
  done
}
neu_count() {  # how many runs there are now: neu_running, neu_groups
  local group groups=""
  neu_running=0
  for group in $neu_groups; do
    if kill -0 "$group" 2> /dev/null; then groups+=" $group" neu_running=$((neu_running + 1)); fi
  done
  neu_groups=$groups
}
neu_wait() {  # until one has ended
  wait -n
  if [ "$?" = 127 ]; then sleep 1; fi
}
set -m  # each run leads a group of its own, which gets what it is told
neu_begun='' neu_code=0
for neu_run in "${neu_runs[@]}"; do
  if neu_skips "$neu_run"; then
    neu_code=$((neu_code ? neu_code : neu_end))
    continue
  fi
  while [ -z "$neu_told" ] && neu_count && [ "$neu_running" -ge "$neu_pack_jobs" ]; do neu_wait; done
  if [ -n "$neu_told" ]; then break; fi
  "$BASH" "${BASH_SOURCE[0]}" --run "$neu_run" "$neu_job" "$3" &
  neu_groups+=" $!" neu_begun+=" $!"
  if [ -n "$neu_told" ]; then kill -s "$neu_signal" -- "-$!"; fi 2> /dev/null  # told just before
done
while neu_count && [ "$neu_running" != 0 ]; do neu_pause; done
set +m
for neu_group in $neu_begun; do
  wait "$neu_group"
  neu_end=$?
  neu_code=$((neu_code ? neu_code : neu_end))
done

#: put-back: on_exit_remove of the description lets a job that this signal ended back into the queue
if [ -n "$neu_timer" ]; then kill "$neu_timer"; fi 2> /dev/null
neu_left=''
for neu_run in "${neu_runs[@]}"; do
  neu_look "$neu_run"
  if [ -n "$neu_end" ]; then continue; fi
  neu_left=yes
  if [ -n "$neu_killed" ] && [ -n "$neu_open" ]; then  # its recorder was killed with its program
    TZ=UTC0 printf -v neu_now '%(%Y-%m-%dT%H:%M:%SZ)T' -1
    echo "finished $neu_now attempt=$neu_attempts signal=9 told=$neu_signal" >> "$neu_events"
  fi
done
if [ "$neu_told" = USR1 ] && [ -n "$neu_left" ]; then
  trap - USR1
  kill -s USR1 $$
fi

#: end
exit "$neu_code"
