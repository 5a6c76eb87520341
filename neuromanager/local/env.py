"""TODO"""

from __future__ import annotations

from neuromanager.system.quoting import quote_word


def render_env_script(env: tuple[str, ...], ready_descriptor: int) -> str:
    """For ``bash -c TEXT neurun WORDS...`` on this machine: env, then the words' program.

    The descriptor is told ``.`` before the program starts, or the line that failed; nothing when env left by itself.
    """
    lines = [
        "set +o posix",
        'neu_words=("$@"); set --',  # a script that env sources is to see no words
        "neu_failed() { printf 'neurun: error: env failed (%s): %s; the command was not started\\n' "
        f'"$1" "$2" >&2; printf "env failed (%s): %s" "$1" "$2" >&{ready_descriptor}; exit 111; }}',
    ]
    for line in env:
        lines += [f"{{ {line}", f"}} || neu_failed $? {quote_word(line)}"]
    lines += [f"printf . >&{ready_descriptor}", f"exec {ready_descriptor}>&-", 'exec "${neu_words[@]}"']
    return "\n".join(lines) + "\n"
