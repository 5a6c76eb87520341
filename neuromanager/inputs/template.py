"""A template and the keys of it that are to be set: read once, then filled with the values of each point."""

from __future__ import annotations

import re

from neuromanager.inputs.entries import Entry, Unfit, line_of
from neuromanager.inputs.lines import read_env, read_header, read_ini, read_lammps, read_mdp, read_template
from neuromanager.inputs.namelist import read_namelist
from neuromanager.inputs.render import find_kind, render
from neuromanager.inputs.trees import read_json, read_toml
from neuromanager.inputs.yaml import read_yaml
from neuromanager.system.jsonvalues import Float, Integer, Value
from neuromanager.system.values import Callable, Iterable, Mapping, Sequence

READERS: Mapping[str, Callable[[str], Sequence[Entry]]] = {
    "namelist": read_namelist,
    "ini": read_ini,
    "mdp": read_mdp,
    "env": read_env,
    "header": read_header,
    "lammps": read_lammps,
    "json": read_json,
    "toml": read_toml,
    "yaml": read_yaml,
    "template": read_template,
}
_ENDINGS = {
    "namelist": (".nml", ".namelist", ".f90nml"),
    "ini": (".ini", ".cfg", ".conf", ".properties"),
    "mdp": (".mdp",),
    "env": (".env",),
    "header": (".h", ".hpp", ".hh"),
    "json": (".json",),
    "toml": (".toml",),
    "yaml": (".yaml", ".yml"),
    "lammps": (".lmp", ".lammps"),
}
_LISTED = 4


def guess_format(path: str, text: str) -> str | None:
    """By the name, and a namelist by its groups."""
    name = path.rpartition("/")[2].lower()
    for form, endings in _ENDINGS.items():
        if name.endswith(endings):
            return form
    if name.startswith(("inlist", "namelist")) or re.search(r"(?mi)^[ \t]*&[a-z]\w*[ \t]*(!.*)?$", text):
        return "namelist"
    return "lammps" if name.startswith("in.") else "env" if name.startswith(".env") else None


class Place:
    """Where a key's value stands; of a template, each of the places."""

    def __init__(self, entries: Sequence[Entry], text: str, form: str) -> None:
        self.entries, self.form = entries, form
        self.old = text[entries[0].start : entries[0].end]
        self.line = line_of(text, entries[0].start)
        self.takes_numbers = form != "yaml" and find_kind(self.old, form) == "number"
        self._plain: dict[str, str] = {}  # texts that were given, to what cannot be misread

    def render(self, value: Value) -> tuple[str, bool]:
        """The text, and whether it could be misread. Raises Unfit."""
        if self.takes_numbers and type(value) in (Float, Integer):
            return value.text, False  # type: ignore[union-attr]
        if type(value) is str and value in self._plain:
            return self._plain[value], False
        text = render(value, self.old, self.form)
        plain = _PLAIN.fullmatch(text) is not None
        if plain and type(value) is str:
            self._plain[value] = text
        return text, not plain


class Template:
    """Read once; ``fill`` for each point changes the characters of the values and nothing else."""

    def __init__(self, text: str, form: str, keys: Iterable[str]) -> None:
        """Raises Faults: all that is wrong with the keys."""
        self.text, self.form = text, form
        try:
            self.entries = _read(text, form)
        except Unfit as unfit:
            raise Faults([str(unfit)]) from None
        self.places: dict[str, Place] = {}
        faults = []
        for key in keys:
            try:
                found = _find(self.entries, key, text, form)
                self.places[key] = Place(found, text, form)
            except Unfit as unfit:
                faults.append(str(unfit))
        self._check_apart(faults)
        if faults:
            raise Faults(faults)
        self._spans = sorted(
            (entry.start, entry.end, key) for key, each in self.places.items() for entry in each.entries
        )

    def _check_apart(self, faults: list[str]) -> None:
        spans = sorted((entry.start, entry.end, key) for key, each in self.places.items() for entry in each.entries)
        for (_, end, first), (start, _, second) in zip(spans, spans[1:]):
            if start < end:
                faults.append(f"{second!r} is a part of {first!r}; set one of them")

    def fill(self, values: Mapping[str, Value]) -> str:
        """A key without a value keeps what stands there. Raises Faults: all values that cannot stand there."""
        texts: dict[str, str] = {}
        faults, doubtful = [], False
        for key, place in self.places.items():
            if key not in values:
                texts[key] = place.old
                continue
            try:
                texts[key], doubt = place.render(values[key])
                doubtful = doubtful or doubt
            except Unfit as unfit:
                faults.append(f"{key!r}, line {place.line}: {unfit}")
        if faults:
            raise Faults(faults)
        result = self._splice(texts)
        if doubtful:
            self.prove(result, texts)
        return result

    def _splice(self, texts: Mapping[str, str]) -> str:
        parts, place = [], 0
        for start, end, key in self._spans:
            parts += [self.text[place:start], texts[key]]
            place = end
        return "".join(parts) + self.text[place:]

    def prove_all(self, result: str, values: Mapping[str, Value]) -> None:
        """Proves a result of ``fill``, also where no value could be misread."""
        self.prove(
            result,
            {key: each.render(values[key])[0] if key in values else each.old for key, each in self.places.items()},
        )

    def prove(self, result: str, texts: Mapping[str, str]) -> None:
        """Reads the result again: every other value is what it was, and those are what was meant. Raises Faults."""
        if self.form == "template":
            return
        changed = {(start, end): texts[key] for start, end, key in self._spans}
        expected, inside, around = [], [], set()
        for entry in self.entries:
            span = (entry.start, entry.end)
            if span in changed:
                expected.append((entry.path, changed[span]))
                inside.append(entry.path)
            elif any(start <= entry.start and entry.end <= end for start, end in changed):
                continue
            elif any(entry.start <= start and end <= entry.end for start, end in changed):
                around.add(entry.path)
            else:
                expected.append((entry.path, self.text[entry.start : entry.end]))
        try:
            found = [(entry.path, result[entry.start : entry.end]) for entry in _read(result, self.form)]
        except Unfit as unfit:
            raise Faults([f"the result could not be read: {unfit}"]) from None
        rest = [
            (path, text)
            for path, text in found
            if path not in around and not any(len(path) > len(top) and path[: len(top)] == top for top in inside)
        ]
        if rest != expected:
            wrong = next((path for path, _ in expected if (path, dict(expected)[path]) not in rest), inside[0])
            raise Faults([f"{'.'.join(wrong)!r}: a value that a {self.form} file cannot hold there"])


def _read(text: str, form: str) -> Sequence[Entry]:
    """Raises Unfit. A byte order mark, as editors of Windows write, is no part of the first key."""
    if not text.startswith("\ufeff"):
        return READERS[form](text)
    return [entry._replace(start=entry.start + 1, end=entry.end + 1) for entry in READERS[form](text[1:])]


# What no reader of any format can take for more than one value.
_PLAIN = re.compile(r"[A-Za-z0-9+.][A-Za-z0-9_.+-]*|\"[A-Za-z0-9_.+/-]*\"|'[A-Za-z0-9_.+/-]*'")


class Faults(Exception):
    """What is wrong with a file, its keys or values: a line for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(*faults)
        self.faults = list(faults)


def _fold(key: str, form: str) -> str:
    if form not in ("namelist", "mdp"):
        return key
    return key.lower().replace("-", "_") if form == "mdp" else re.sub(r"\s", "", key.lower())


def _find(entries: Sequence[Entry], key: str, text: str, form: str) -> list[Entry]:
    """The entry that a whole path or the end of one means; raises Unfit for none, several, and what cannot be set."""
    want = _fold(key, form)
    folded = [(_fold(entry.key, form), entry) for entry in entries]
    found = [entry for path, entry in folded if path == want]
    found = found or [entry for path, entry in folded if path.endswith(f".{want}")]
    if not found:
        raise Unfit(_describe_unknown(entries, key, form))
    if form == "template":
        return found
    if len(found) > 1:
        listed = ", ".join(f"{entry.key} (line {line_of(text, entry.start)})" for entry in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        whole = len({_fold(entry.key, form) for entry in found}) > 1
        mend = "write one of them whole" if whole else "the file has it twice, and a reader takes one of them"
        raise Unfit(f"{key!r} is ambiguous: {listed}{more}; {mend}")
    if found[0].note:
        raise Unfit(f"{key!r}, line {line_of(text, found[0].start)}: {found[0].note}; it cannot be set")
    return found


def _describe_unknown(entries: Sequence[Entry], key: str, form: str) -> str:
    import difflib  # only when something is wrong

    known = {name: entry.key for entry in entries for name in (entry.path[-1] if entry.path else "", entry.key)}
    near = difflib.get_close_matches(key, known, 1, 0.5)
    shown = f"no {{{key}}}" if form == "template" else f"no key {key!r}"
    offered = f"; did you mean {known[near[0]]!r}?" if near else ""
    return f"{shown} among its {len({entry.key for entry in entries})}{offered}"
