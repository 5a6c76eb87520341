"""Sweep files of clutils and AlphaEx -> the document of a params.json that has the same points."""

from __future__ import annotations

import itertools
import re

from neuromanager.system.faults import join_path
from neuromanager.system.jsonvalues import Value, parse_integer, render_json, text_of
from neuromanager.system.patterns import compile_late
from neuromanager.system.quoting import parse_line
from neuromanager.system.values import Any, Container, NamedTuple

_SAMPLE = compile_late(r"__SAMPLE__\(\s*(-?[0-9]+)\s*,\s*(-?[0-9]+)\s*\)")
_SEED = "__SEED__()"
_ASSIGNMENT = compile_late(r"(?s)(?!NEU_)([A-Za-z_][A-Za-z0-9_]*)=(.*)")
SCHEDULER = "slurm"  # clutils submits with sbatch
_HANDLED = ("output", "error", "job-name", "open-mode", "signal")  # what clutils and neurun both write themselves


class Imported(NamedTuple):
    """A document, what the user has to know about it, and what has no counterpart."""

    document: dict[str, Any]
    notes: list[str]
    faults: list[str]


def import_clutils(document: Any) -> Imported:
    """The points of a clutils sweep: its key ``params``, or ``args`` as its documents call it."""
    keys = [key for key in ("params", "args") if key in document] if isinstance(document, dict) else []
    if len(keys) != 1 or not isinstance(document[keys[0]], dict):
        told = "it has both params and args" if len(keys) == 2 else "it has no object params (or args)"
        return Imported({}, [], [f"{told}: not a sweep of clutils"])
    faults: list[str] = []
    drawn: list[str] = []
    converted = _convert_clutils(document[keys[0]], keys[0], faults, drawn)
    return Imported(converted, _tell_command(document, converted, bool(drawn)), faults)


def _convert_clutils(params: dict[str, Any], path: str, faults: list[str], drawn: list[str]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for name, value in params.items():
        here = join_path(path, name)
        if isinstance(value, dict):
            if not value:
                faults.append(f"{here}: no choice, so clutils would make no job")
            choices = {}
            for choice, sub in value.items():
                if not isinstance(sub, dict):
                    faults.append(f"{join_path(here, choice)}: {render_json(sub)} where clutils expects an object")
                else:
                    choices[choice] = _convert_clutils(sub, join_path(here, choice), faults, drawn)
            if "__true__" in choices or "__false__" in choices:
                converted[name] = [{**_flag_of(name, choice, choice), **sub} for choice, sub in choices.items()]
            else:
                converted[name] = choices
        else:
            listed = value if isinstance(value, list) else [value]
            if not listed:
                faults.append(f"{here}: an empty list, so clutils would make no job")
            _convert_list(name, listed, isinstance(value, list), here, converted, faults, drawn)
    return converted


def _flag_of(name: str, value: Any, item: Any) -> dict[str, Any]:
    """``__true__`` is ``--name`` and ``__false__`` is ``--no-name``, whatever the name."""
    if value == "__true__":
        return {name if len(name) > 1 else f"--{name}": True}
    return {f"no-{name}": True} if value == "__false__" else {name: item}


def _convert_list(
    name: str, values: list[Any], swept: bool, path: str, converted: dict[str, Any], faults: list[str], drawn: list[str]
) -> None:
    flags = [
        next(iter(_flag_of(name, value, _convert_value(value, f"{path}[{place}]", faults, drawn)).items()))
        for place, value in enumerate(values)
    ]
    groups = [{flag: [item for _, item in group]} for flag, group in itertools.groupby(flags, key=lambda pair: pair[0])]
    if len(groups) > 1:
        converted[name] = groups  # alternatives
        return
    for flag, items in groups[0].items() if groups else ():
        converted[flag] = items if swept else items[0]


def _convert_value(value: Any, path: str, faults: list[str], drawn: list[str]) -> Any:
    """As clutils writes it: Python's words for true, false, null and lists."""
    if isinstance(value, str):
        match = _SAMPLE.fullmatch(value)
        if match or value == _SEED:
            drawn.append(path)
            low, high = match.groups() if match else (str(-(2**63)), str(2**63 - 1))
            return {"$randint": [parse_integer(low), parse_integer(high)]}
        if _SAMPLE.search(value) or _SEED in value:
            faults.append(f"{path}: a random number inside a text; make it a parameter, and place it as {{NAME}}")
        return value
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, (list, dict)):
        return _python_text(value)
    return value


def _python_text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_python_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {_python_text(item)}" for name, item in value.items()) + "}"
    return text_of(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else repr(value)


def _tell_command(document: dict[str, Any], converted: dict[str, Any], drawn: bool) -> list[str]:
    """What to type: clutils varies the first parameter fastest, and writes two words for one."""
    meta = document.get("meta") if isinstance(document.get("meta"), dict) else {}
    words = ["neusweep", "--order=first", "--style=space"]
    if drawn:
        words += ["--sample=N", "--seed=S"]
    name = meta.get("name") if isinstance(meta, dict) else None
    words += ["neurun", *([f"--name={name}"] if isinstance(name, str) else []), "SUPPORT", "DEVICE"]
    words.append(str(document.get("cmd", "COMMAND")))
    words += [f"{key} {{{key}}}" for key in converted if key.isupper() and len(key) > 1]
    if isinstance(meta, dict) and meta.get("dest-arg") == "yes":
        names = meta.get("dest-name", "dest")
        words += [f"--{dest} {{run_dir}}" for dest in (names if isinstance(names, list) else [names])]
    notes = [" ".join(words)]
    if drawn:
        notes.append("N: the number that clutils count prints; S: any number; the same S draws the same points")
    dropped = [key for key in ("git", "commit", "pwd", "cat") if key in document]
    if dropped:
        notes.append(f"left out, since params.json has no place for it: {', '.join(dropped)}")
    return notes


def find_bare_names(document: dict[str, Any]) -> list[str]:
    """Where an UPPERCASE name stands in a branch: clutils writes ``NAME value`` there, which no option can say."""
    found = []
    for value in document.values():
        below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for sub in below:
            if isinstance(sub, dict) and not any(key.startswith("$") for key in sub):
                found += [key for key in sub if key.isupper() and len(key) > 1] + find_bare_names(sub)
    return found


def import_clutils_profile(document: Any, owned: Container[str]) -> Imported:
    """The profile for config.json, of a sweep's ``machine``, ``preload`` and ``precmd``.

    ``owned``: the scheduler's options that neurun itself needs.
    """
    if not isinstance(document, dict) or not isinstance(document.get("machine", {}), dict):
        return Imported({}, [], ["no object machine: not a sweep of clutils"])
    notes, faults = [], []
    resources: dict[str, Value] = {}
    for name, value in document.get("machine", {}).items():
        if name in owned or name in _HANDLED:
            notes.append(f"machine.{name}: left out, since neurun does this")
        elif isinstance(value, (list, dict)):
            faults.append(f"machine.{name}: {render_json(value)} is not a value of an option of sbatch")
        else:
            resources[name] = True if value == "" else value
    profile: dict[str, Any] = {"env": document.get("precmd", []), "resources": resources}
    profile.update(_import_preload(document.get("preload", ""), faults))
    texts = [name + text_of(value) for name, value in resources.items() if not isinstance(value, bool)]
    device = "gpu" if any("gpu" in text for text in texts) else "cpu"
    return Imported({SCHEDULER: {device: profile}}, notes, faults)


def _import_preload(preload: Any, faults: list[str]) -> dict[str, Any]:
    """Words in front of the command: those that set variables, and after them a program that starts it."""
    try:
        words = list(parse_line(str(preload)))
    except ValueError as error:
        faults.append(f"preload: {error}")
        return {}
    matches = itertools.takewhile(bool, map(_ASSIGNMENT.fullmatch, words))
    pairs = [(match.group(1), match.group(2)) for match in matches if match]
    profile: dict[str, Any] = {"variables": dict(pairs)} if pairs else {}
    return {**profile, "wrap": words[len(pairs) :]} if words[len(pairs) :] else profile


def import_alphaex(document: Any) -> Imported:
    """The points of AlphaEx's Sweeper: lists and objects by turns; an object in a list is an alternative."""
    faults: list[str] = []
    if not isinstance(document, dict):
        return Imported({}, [], ["not an object: not a sweep of AlphaEx"])
    converted = _convert_alphaex(document, "", faults)
    return Imported(converted, ["neusweep --order=first neurun --runs=N SUPPORT DEVICE COMMAND"], faults)


def _convert_alphaex(document: dict[str, Any], path: str, faults: list[str]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for name, items in document.items():
        here = join_path(path, name)
        if isinstance(items, str):
            items = list(items)  # AlphaEx goes through a text letter by letter
        if not isinstance(items, list) or not items:
            faults.append(f"{here}: {render_json(items)} where AlphaEx expects a list of values")
            continue
        if not any(isinstance(item, dict) for item in items):
            converted[name] = [_exact(item) for item in items]
            continue
        branches: list[dict[str, Any]] = []
        for place, item in enumerate(items):
            if isinstance(item, dict):
                branches.append(_convert_alphaex(item, f"{here}[{place}]", faults))
            elif branches and name in branches[-1] and not isinstance(items[place - 1], dict):
                branches[-1][name].append(_exact(item))
            else:
                branches.append({name: [_exact(item)]})
        converted[_label(name, document)] = branches
    return converted


def _exact(value: Any) -> Any:
    return {"$value": value} if isinstance(value, list) else value


def _label(name: str, document: dict[str, Any]) -> str:
    """The name of alternatives, which no point has: made one that may stand there."""
    label = re.sub(r"[=,\s\x00-\x1f]+", "-", name).lstrip("$-") or "alternatives"
    while label != name and label in document:
        label += "-"
    return label
