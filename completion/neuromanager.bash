# Completion in bash for the commands of neuromanager. Each is asked itself what may stand at the cursor (NEU_COMPLETE);
# nothing is known here but their names. bash-completion loads this by the name of a command; without it, source it.

# readline splits at = and : too. These are the words as the shell sees them, up to the cursor, and where each begins
# among those of readline.
_neuromanager_words() {
    local rest=${COMP_LINE:0:COMP_POINT} piece index
    words=() starts=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        piece=${COMP_WORDS[index]}
        if ((index == 0)) || [[ $rest == [[:space:]]* || -z $rest ]]; then
            words+=("") starts+=("$index")
            rest=${rest#"${rest%%[![:space:]]*}"}
        fi
        if [[ $rest != "$piece"* ]]; then piece=$rest; fi # the cursor is in it
        words[${#words[@]} - 1]+=$piece
        rest=${rest#"$piece"}
    done
    last=$piece
}

_neuromanager() {
    local words starts last line answer typed kept
    _neuromanager_words
    typed=${words[${#words[@]} - 1]}
    # What readline keeps of the word, for it replaces the piece after the last = or : alone.
    if [[ $last == [=:]* ]]; then kept=$typed; else kept=${typed%"$last"}; fi
    COMPREPLY=()
    mapfile -t answer < <(NEU_COMPLETE=bash "${words[@]}" 2>/dev/null)
    case ${answer[0]-} in
        $'\tfiles'*)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "${typed#"$kept"}")
            return
            ;;
        $'\tcommand'*)
            local place=${answer[0]##*$'\t'}
            if declare -F _command_offset >/dev/null; then
                _command_offset "${starts[place]}"
            elif ((place == ${#words[@]} - 1)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$typed"; compgen -f -- "$typed")
            else
                compopt -o default 2>/dev/null
            fi
            return
            ;;
    esac
    for line in "${answer[@]}"; do
        line=${line%%$'\t'*}
        line=${line#"$kept"}
        # readline puts it into the line as it is, and the shell would obey what another user has named an experiment.
        if [[ $line == *[^[:alnum:]_./:=,@%+-]* ]]; then printf -v line %q "$line"; fi
        COMPREPLY+=("$line")
    done
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}

complete -F _neuromanager neuattach neucancel neudiff neufree neuget neuhost neuimport neuin neulog neuplot neurerun neurun neuset neusnap neustat neusweep neutable neuthrottle neutop neutrash neuwait
