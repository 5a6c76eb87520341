# How a run on a node begins and ends, in bash: no Python is needed there. `#: NAME` begins a part (bashrecorder.py).
#
# shellcheck shell=bash disable=SC2034,SC2154,SC2317  # what one part sets or defines, another uses

#: gate: the last one before a run; its job may come long after its launch was given up, or be put back by hand
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

#: recorder
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

#: attempt
if [ "$NEU_ATTEMPT" -gt 1 ]; then  # where in the logs this attempt begins
  mapfile -t neu_lines < <(stat -L -c %s "/proc/$$/fd/1" "/proc/$$/fd/2" 2> /dev/null)
  neu_started=" stdout_bytes=${neu_lines[0]-0} stderr_bytes=${neu_lines[1]-0}"
fi
mapfile -t neu_script < "${BASH_SOURCE[0]}"
neu_stage=env neu_line=0 neu_text='' neu_told='' neu_theirs=()

#: traps
trap 'neu_finish "$?" "$(trap -p DEBUG)"' EXIT
# The program gets them too; stay to record how it ends, and that it was told to.
trap neu_told=TERM TERM; trap neu_told=INT INT; trap neu_told=HUP HUP
trap : USR1 USR2 ALRM XCPU VTALRM PROF IO
