"""Command lines of other tools: Hydra's multirun -> a params.json; a job list for a shell -> lines for neurun."""

from __future__ import annotations

from neuromanager.sweep.importpoints import RUN, read_value
from neuromanager.sweep.imports import Imported
from neuromanager.system.jsonvalues import Value
from neuromanager.system.patterns import compile_late
from neuromanager.system.quoting import parse_line, quote_line
from neuromanager.system.values import Any

_OVERRIDE = compile_late(r"([+]{0,2}[A-Za-z_][A-Za-z0-9_./@:-]*)=(.*)")
_WORD = compile_late(r"""(?:'[^']*'|"[^"]*"|\S)+""")
_CALL = compile_late(r"([a-z_]+)\((.*)\)")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}


def import_hydra(line: str) -> Imported:
    """``python train.py -m lr=1,2 seed=range(0,10)``: overrides are swept, the other words stay in the command."""
    try:
        words = parse_line(_quote_calls(line))
    except ValueError as error:
        return Imported({}, [], [str(error)])
    converted: dict[str, Any] = {"$style": "hydra"}
    command, faults = [], []
    for word in words:
        match = _OVERRIDE.fullmatch(word)
        if not match:
            command += [word] if word not in ("-m", "--multirun") else []
            continue
        try:
            values = _read_choices(match.group(2))
        except ValueError as error:
            faults.append(f"{word}: {error}")
            continue
        converted[match.group(1)] = values
    if len(converted) == 1 and not faults:
        faults.append("no override such as lr=0.1,0.01 in it")
    drawn = any(isinstance(value, dict) and "$uniform" in value for value in converted.values())
    notes = [f"neusweep {'--sample=N --seed=S ' if drawn else ''}neurun {RUN} {quote_line(command) or 'COMMAND'}"]
    return Imported(converted, notes, faults)


def _quote_calls(line: str) -> str:
    """Parentheses and stars of Hydra's own grammar, which people quote for their shell and parse_line wants quoted."""

    def quote(word: str) -> str:
        return f"'{word}'" if not {"'", '"'} & set(word) and set("()[]{}*|~$") & set(word) else word

    joined = " ".join(line.replace("\\\n", " ").splitlines())
    return _WORD.sub(lambda match: quote(match.group()), joined)


def _read_choices(text: str) -> Any:
    """One value, a list of them, or what makes values. Raises ValueError."""
    parts = _split(text)
    if len(parts) > 1:
        return [_read_element(part) for part in parts]
    match = _CALL.fullmatch(text)
    if not match:
        return _read_element(text)
    function, arguments = match.group(1), _split(match.group(2))
    if function == "choice":
        return [_read_element(argument) for argument in arguments]
    if function == "range":
        return {"$range": _read_range(arguments)}
    if function == "interval" and len(arguments) == 2:
        return {"$uniform": [read_value(argument) for argument in arguments]}
    raise ValueError(f"{function}(): write its values out, as a,b,c")


def _read_range(arguments: list[str]) -> list[Any]:
    """range(STOP), range(START, STOP), range(START, STOP, STEP), and with these names."""
    named = {"start": "0", "stop": "", "step": "1"}
    plain = [argument for argument in arguments if "=" not in argument]
    named.update(zip(("start", "stop", "step") if len(plain) > 1 else ("stop",), plain))
    named.update(argument.split("=", 1) for argument in arguments if "=" in argument)  # type: ignore[misc]
    values = [read_value(named[name]) for name in ("start", "stop", "step")]
    if set(named) != {"start", "stop", "step"} or any(isinstance(value, str) for value in values):
        raise ValueError("range() takes numbers: START, STOP, STEP")
    return values


def _read_element(text: str) -> Any:
    if text[:1] in _CLOSING and text[-1:] == _CLOSING[text[:1]]:
        if text[0] != "[":
            raise ValueError("a dictionary or a call as a value; write it into the command by hand")
        return {"$value": [_read_plain(part) for part in _split(text[1:-1])]}
    if _CALL.fullmatch(text):
        raise ValueError("a call among values; write its values out")
    return _read_plain(text)


def _read_plain(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text[:1] in _CLOSING:
        raise ValueError("a list in a list; write it into the command by hand")
    return _WORDS[text.lower()] if text.lower() in _WORDS else read_value(text)


def _split(text: str) -> list[str]:
    """At the commas that no bracket and no quote holds. Raises ValueError."""
    parts, expected, quote = [""], [], ""  # type: tuple[list[str], list[str], str]
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _CLOSING:
            expected.append(_CLOSING[letter])
        elif expected and letter == expected[-1]:
            expected.pop()
        elif letter == "," and not expected:
            parts.append("")
            continue
        parts[-1] += letter
    if quote or expected:
        raise ValueError(f"{quote or expected[-1]} is missing")
    return [part.strip() for part in parts]


_DIRECTIVE = compile_late(r"#DISBATCH +(PREFIX|SUFFIX|REPEAT|BARRIER|PERENGINE)\b ?(.*)")


def import_job_list(text: str) -> tuple[list[str], list[str]]:
    """Lines for ``neurun SUPPORT DEVICE -`` that give each line of a job list to a shell, and the faults."""
    lines, faults, around = [], [], {"PREFIX": "", "SUFFIX": ""}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if match := _DIRECTIVE.match(line):
            if match.group(1) in around:
                around[match.group(1)] = match.group(2)
            else:
                faults.append(f"line {number}: #DISBATCH {match.group(1)}: nothing here does this; write its lines out")
        elif line.strip() and not line.lstrip().startswith("#"):
            lines.append(quote_line(("bash", "-c", f"{around['PREFIX']}{line.strip()}{around['SUFFIX']}")))
    if not lines and not faults:
        faults.append("no command lines in it")
    return lines, faults
