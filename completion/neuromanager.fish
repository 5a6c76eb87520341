# Completion in fish for the commands of neuromanager. Each is asked itself what may stand at the cursor (NEU_COMPLETE);
# nothing is known here but their names.

function __neuromanager_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer (env NEU_COMPLETE=fish $words 2>/dev/null)
    switch "$answer[1]"
        case \tfiles'*'
            set -l typed (commandline -ct)
            set -l kept (string match -r '^--[^=]*=' -- $typed)
            string replace -r '^' -- "$kept" (__fish_complete_path (string replace -r '^--[^=]*=' '' -- $typed))
        case \tcommand'*'
            set -l place (string replace -r '.*\t' '' -- $answer[1])
            complete -C (string join ' ' -- (string escape -- $words[(math $place + 1)..-1]))
        case '*'
            printf '%s\n' $answer
    end
end

for name in neuattach neucancel neudiff neufree neuget neuhost neuimport neuin neulog neuplot neurerun neurun neuset neusnap neustat neusweep neutable neuthrottle neutop neutrash neuwait
    complete -c $name -f -a '(__neuromanager_complete)'
end
