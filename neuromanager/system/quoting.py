"""Text for the edges that need a language: a shell line, an ``#SBATCH`` line, a terminal."""

from __future__ import annotations

from neuromanager.system.patterns import compile_late, is_number, re
from neuromanager.system.values import Iterable, Sequence

_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-")
_SAFE_IN_DIRECTIVE = _SAFE | frozenset("[]*&|()")
_ACTIVE = frozenset("|&;<>()$`*?[~")  # what a shell would act on where it stands unquoted
_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
_CODES = compile_late(rb"(?s)\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|.)")


def quote_word(word: str) -> str:
    """One word for bash, always on one line; readable where it can be.

    What does not print (a newline, an escape, a byte that is not a text) is written as ``$'\\xNN'``, by bytes and not
    by code points, since bash knows ``\\u`` only in a UTF-8 locale and a node may have none.
    """
    if not word:
        return "''"
    if _SAFE.issuperset(word):
        return word
    if word.isprintable():
        return "'" + word.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(map(_escape_letter, word)) + "'"


def _escape_letter(letter: str) -> str:
    if letter in "\\'":
        return "\\" + letter
    if letter.isprintable():
        return letter
    if letter in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[letter]
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))


def quote_line(words: Iterable[str]) -> str:
    """A command line: bash reads exactly these words back."""
    return " ".join(map(quote_word, words))


def parse_line(line: str) -> tuple[str, ...]:
    """The words of one line as ``quote_line`` and people write it; nothing is expanded.

    Raises ValueError, with what is wrong and the mend, where a shell would do more than split: an unquoted ``$HOME``,
    ``*`` or ``;`` is neither obeyed nor quietly taken for text.
    """
    words: list[str] = []
    position, end = 0, len(line)
    while position < end:
        if line[position] in " \t\r":
            position += 1
            continue
        word, position = _parse_word(line, position)
        words.append(word)
    return tuple(words)


def split_line(line: str) -> tuple[str, ...]:
    """parse_line for what ``quote_line`` wrote, and much faster where it quoted nothing."""
    quoted = "'" in line or '"' in line or "\\" in line or "$" in line
    return parse_line(line) if quoted else tuple(line.split(" "))


def _parse_word(line: str, position: int) -> tuple[str, int]:
    start, pieces = position, []
    while position < len(line) and line[position] not in " \t\r":
        letter = line[position]
        if letter == "'":
            close = _find_close(line, position + 1, "'")
            pieces.append(line[position + 1 : close])
            position = close + 1
        elif letter == '"':
            piece, position = _parse_double(line, position + 1)
            pieces.append(piece)
        elif line.startswith("$'", position):
            piece, position = _parse_ansi(line, position + 2)
            pieces.append(piece)
        elif letter == "\\":
            if position + 1 == len(line):
                raise ValueError("the line ends in a backslash; quote it: '\\'")
            pieces.append(line[position + 1])
            position += 2
        elif (letter in _ACTIVE and (letter != "~" or position == start)) or (letter == "#" and position == start):
            raise ValueError(
                f"{letter!r} is unquoted, and no shell reads this line; to have one run it write "
                f"bash -c {quote_word(line.strip())}, to mean the character '{letter}'"
            )
        else:
            pieces.append(letter)
            position += 1
    return "".join(pieces), position


def _find_close(line: str, position: int, mark: str) -> int:
    close = line.find(mark, position)
    if close < 0:
        raise ValueError(f"a {mark} is not closed")
    return close


def _parse_double(line: str, position: int) -> tuple[str, int]:
    pieces = []
    while position < len(line) and line[position] != '"':
        letter = line[position]
        if letter in "$`":
            raise ValueError(f"{letter!r} is in double quotes, and no shell reads this line; use single quotes")
        if letter == "\\" and line[position + 1 : position + 2] in ("$", "`", '"', "\\"):
            position += 1
            letter = line[position]
        pieces.append(letter)
        position += 1
    if position >= len(line):
        raise ValueError('a " is not closed')
    return "".join(pieces), position + 1


def _parse_ansi(line: str, position: int) -> tuple[str, int]:
    """The inside of ``$'...'``: bash's ANSI-C quoting, decoded by bytes."""
    close = position
    while close < len(line) and line[close] != "'":
        close += 2 if line[close] == "\\" else 1
    if close >= len(line):
        raise ValueError("a $' is not closed")
    raw = line[position:close].encode("utf-8", "surrogateescape")
    return _CODES.sub(_decode_escape, raw).decode("utf-8", "surrogateescape"), close + 1


def _decode_escape(match: re.Match[bytes]) -> bytes:
    code = match.group(1).decode("utf-8", "surrogateescape")
    if code[0] == "x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[0] in "uU" and len(code) > 1:
        return chr(int(code[1:], 16)).encode("utf-8", "surrogatepass")
    if code[0] in "01234567":
        return bytes([int(code, 8) & 0xFF])
    return _ESCAPES.get(code, "\\" + code).encode("utf-8", "surrogateescape")


def quote_directive(value: str) -> str:
    """A value on an ``#SBATCH`` line: Slurm reads a backslash as an escape even inside single quotes.

    Seen with 22.05 (src/sbatch/opt.c, _get_next_opt): in double quotes ``\\`` and ``"`` take a backslash.
    """
    if value and _SAFE_IN_DIRECTIVE.issuperset(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_count(text: str | None) -> int | None:
    """A whole number that others wrote; none is longer, and Python turns no text above 4,300 digits into a number."""
    return int(text) if text is not None and is_number(text, 18) else None


def shorten(lines: Sequence[str]) -> list[str]:
    """Of what a program said as much as a person reads."""
    most, longest = 20, 500
    shown = [line if len(line) <= longest else f"{line[:longest]} ..." for line in lines[:most]]
    return [*shown, f"... and {len(lines) - most} lines more"] if len(lines) > most else shown


def visible(text: str) -> str:
    """Text of any origin, safe and honest on a terminal: what does not print is shown as ``\\x1b`` and the like."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _show_letter(letter) for letter in text)


def _show_letter(letter: str) -> str:
    if "\ud800" <= letter < "\udc80" or "\udcff" < letter <= "\udfff":  # half of a pair, from a \u in JSON: no byte's
        return f"\\u{ord(letter):04x}"
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(letter) or "".join(
        f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape")
    )


# Words that bash would act on where a program's name stands.
_RESERVED = frozenset(
    "! case coproc do done elif else esac fi for function if in select then until while { } [[ ]] time".split()
)


def quote_command(command: Command) -> str:
    """A command line on which bash finds a program first: no keyword, no assignment."""
    first = command[0]
    bare = quote_word(first)
    if bare == first and (first in _RESERVED or "=" in first):
        bare = f"'{first}'"
    return " ".join((bare, *map(quote_word, command[1:])))


def render_commands(commands: list[Command]) -> str:
    """commands.txt: line i is run i's command line; ``sed -n 5p commands.txt | bash`` runs it."""
    return "".join(quote_command(command) + "\n" for command in commands)


Command = tuple[str, ...]
