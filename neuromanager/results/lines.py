"""Lines of a log -> names and numbers: ``key=1``, ``key: 1``, ``'key': 1``, ``a 1 b 2``, tqdm, Keras, tables of cells.

A line of a program is unspecified prose. Only what reads as a measurement counts: a name that begins with a
letter, and a whole number behind it. Times, addresses, versions and sizes are none.
"""

from __future__ import annotations

from neuromanager.system.jsonvalues import load_json
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.values import Mapping, NamedTuple, TypeVar, Union

Value = Union[int, float, str, bool, None]
"""What a cell of a table may be."""

STEPS = (
    "global_step",
    "step",
    "steps",
    "iteration",
    "iter",
    "it",
    "update",
    "timestep",
    "total_timesteps",
    "batch",
    "episode",
    "round",
    "trial",
    "generation",
    "epoch",
)
"""Names that say where in the run a line was printed, the finest first. In any case of letters."""

_STEPS = frozenset(STEPS)
_LONGEST = 1000  # characters of a line; the patterns below take a time that grows with its square
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "eval": "eval",
    "evaluation": "eval",
    "dev": "dev",
}
_SPLIT_LETTERS = frozenset(split[0] for split in SPLITS)
_SPLIT_IN_NAME = compile_late(rf"(?i)(?:^|[_/.-])(?:{'|'.join(SPLITS)})(?:$|[_/.-])")
# Words that stand before numbers in sentences.
_PROSE = frozenset(
    "a after and are at by done for from has have in is of on or than that the to took was with within over "
    "nan inf debug info warning warn error version v gpu cuda device rank port pid line".split()
)

_COUNT = r"\d{1,3}(?:,\d{3})+(?![\d,])|\d+"
_NAMED = r"(?ai:nan|inf(?:inity)?)\b"
_NUMBER = rf"[-+]?(?:(?:(?:{_COUNT})(?:\.\d*)?|\.\d+)(?:[eEdD][-+]?\d+)?|{_NAMED})"
# Behind a number: a unit of some letters, and then no more of a word, a date, an address or a time.
_END = r"(?=%|[a-zA-Zµ]{0,4}(?:/[a-zA-Z]{1,6})?(?![\w.:@-]*\d)(?![\w@]))"
_KEY = r"[A-Za-z_][\w@/%-]*(?:\.[\w@/%-]+)*"
_QUOTED = compile_late(rf"""["']([A-Za-z_][\w@/%. -]*)["']\s*:\s*["']?({_NUMBER})(?=["']?\s*[,}}\]])""")
_ASSIGNED = compile_late(rf"({_KEY})(\s*=\s*|\s*:\s+|:)({_NUMBER}){_END}")
_WHOLE = compile_late(rf"\s*/\s*({_COUNT})\b{_END}")
_SPACED = compile_late(rf"(?<![\w@/.:-])({_KEY})\s+\[?\s*({_NUMBER}){_END}")
# Words that may be one of STEPS: all of those in one expression would take twice as long to compile.
_STEP_LETTERS = "".join({step[0] for step in STEPS})
_STEP = compile_late(
    rf"(?<![\w@/.-])([{_STEP_LETTERS}{_STEP_LETTERS.upper()}][A-Za-z_]+)(?![A-Za-z_])\s*[:=#]?\s*\[?\s*"
    rf"({_COUNT})(?:\.0*)?(?=[\]\s/,:;)|>-]|$)"
)
_CELLS = compile_late(rf"^\|\s+([A-Za-z_][\w/ -]*?)\s+\|\s+({_NUMBER})\s+\|$")
_WORDS_BEFORE = compile_late(r"(?:^|[,;|\t\[(]|\s-|\s\s|\d\s|[:=]\s|\)\s)\s*((?:[A-Za-z]+ ){1,3})$")

_ESCAPE = compile_late(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_HEAD = compile_late(  # what a logger puts before the text
    r"(?i)^(?:[\s\[(|*>#-]*(?:\d{4}[-/.]\d\d[-/.]\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\d\d:\d\d:\d\d(?:[.,]\d+)?|DEBUG|INFO|WARNING|WARN|ERROR|rank ?\d+)(?![\w])[\s\])|:,-]*)*[\s\[(|*>#-]*"
)
_FIRST_WORD = compile_late(r"([A-Za-z]+)(?:\s+set)?\b(?![\w/.@=])")


class Reading(NamedTuple):
    """What one line says: where in the run it was printed, in the line's own words for that, and what it measured."""

    steps: dict[str, float]
    values: dict[str, float]


class Place(NamedTuple):
    """The text of a number, and where it stands in the line; -1 when it does not stand there so."""

    text: str
    start: int = -1


class Places(NamedTuple):
    """What one line says, as texts. It depends on no digit of the line, but for those in ``keys``."""

    steps: dict[str, Place]
    values: dict[str, Place]
    keys: tuple[tuple[int, int], ...] = ()  # where names with digits stand


Pair = tuple[str, Place]


def parse_number(text: str) -> float:
    """The number in a text: thousands may have commas, and Fortran writes ``1.23D-05``."""
    try:
        return float(text)
    except ValueError:
        return float(text.replace(",", "").lower().replace("d", "e"))


Name = TypeVar("Name")


def make_whole(numbers: Mapping[Name, float]) -> dict[Name, Value]:
    """Whole numbers as such: a log writes ``3.0`` where a program counts."""
    return {
        name: int(value) if value == value and value.is_integer() and abs(value) < 2**53 else value
        for name, value in numbers.items()
    }


def is_step(name: str) -> bool:
    return name.lower() in _STEPS


def read_line(line: str) -> Reading | None:
    """None for a line that measures nothing. Of a line that was drawn over and over, what is seen at last counts."""
    places = find_places(line)
    return None if places is None else Reading(*(_parse_places(each) for each in places[:2]))


def _parse_places(places: dict[str, Place]) -> dict[str, float]:
    return {name: parse_number(place.text) for name, place in places.items()}


def find_places(line: str) -> Places | None:
    """As ``read_line``: the texts, and where they stand."""
    start = 0
    if "\r" in line:
        line = line.rstrip("\r")
        start = line.rfind("\r") + 1
        line = line[start:]
    if "\x1b" in line:
        line, start = _ESCAPE.sub("", line), -len(line)  # what is left of it stands nowhere
    if not line or len(line) > _LONGEST:
        return _read_object(line)
    head = _HEAD.match(line).end()  # type: ignore[union-attr]
    text = line[head:].rstrip()
    if not text:
        return None
    cell = _CELLS.match(line.strip()) if "|" in line else None
    if cell:
        begin = start + len(line) - len(line.lstrip())
        return collect([_make_pair(cell[1].strip().replace(" ", "_"), cell, 2, begin)], {}, "", [(cell, begin)])
    start += head
    split = _find_split(text)
    quoted = list(_QUOTED.finditer(text)) if "'" in text or '"' in text else []
    if quoted:
        pairs = [_make_pair(match[1], match, 2, start) for match in quoted]
        return collect(pairs, {}, split, [(match, start) for match in quoted])
    words = [match for match in _STEP.finditer(text) if is_step(match[1])]
    steps = {match[1].lower(): Place(match[2], start + match.start(2)) for match in words}
    seen: list[tuple[re.Match[str], int]] = []
    assigned = _find_assigned(text, start, seen)
    return collect([*assigned, *_find_spaced(text, bool(steps or split), start, seen)], steps, split, seen)


def _make_pair(name: str, match: re.Match[str], group: int, start: int) -> Pair:
    return name, Place(match[group], start + match.start(group))


def _read_object(line: str) -> Places | None:
    """A line too long to be prose may be JSON."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        value = load_json(line)
    except ValueError:
        return None
    return collect([(name, Place(repr(each))) for name, each in value.items() if isinstance(each, float)], {}, "", [])


def _find_split(text: str) -> str:
    first = _FIRST_WORD.match(text) if text[0].lower() in _SPLIT_LETTERS else None
    return SPLITS.get(first[1].lower(), "") if first else ""


def _find_assigned(text: str, start: int, seen: list[tuple[re.Match[str], int]]) -> list[Pair]:
    found = []
    for match in _ASSIGNED.finditer(text):
        key, between, number = match.groups()
        if key.lower() in SPLITS:
            continue  # tqdm's "train: 100%|"
        if between == ":" and not is_step(key) and (key[-1].isdigit() or not re.search(r"[.eEn]", number)):
            continue  # host:8080, mAP@0.5:0.95
        place = Place(number, start + match.start(3))
        if "/" in text and (whole := _WHOLE.match(text, match.end())):  # 9915/10000 of a test set
            count = parse_number(whole[1])
            place = Place(repr(parse_number(number) / count) if count else number)
        found.append((_extend(text, match.start(), key), place))
        seen.append((match, start))
    return found


def _extend(text: str, start: int, key: str) -> str:
    """The words of a name in front of its last one: ``Final test accuracy: 91.3``."""
    before = _WORDS_BEFORE.search(text[:start]) if text[max(0, start - 2) : start - 1].isalpha() else None
    words = [word for word in (before[1].split() if before else []) if word.lower() not in _PROSE]
    if is_step(key):
        return key
    splits = [SPLITS[word.lower()] for word in words if word.lower() in SPLITS]
    name = "_".join([word for word in words if word.lower() not in SPLITS] + [key])
    return f"{splits[-1]}/{name}" if splits else name


def _find_spaced(text: str, begins: bool, start: int, seen: list[tuple[re.Match[str], int]]) -> list[Pair]:
    """``loss 0.3  accuracy 0.9``: of a line that begins with a step or a split, or has two of them."""
    if not _may_be_spaced(text):
        return []
    found = []
    for match in _SPACED.finditer(text):
        key = match[1]
        if _is_no_name(key):
            continue
        found.append(_make_pair(_prefix(text, match.start(), key), match, 2, start))
        seen.append((match, start))
    return found if begins or len(found) > 1 else []


def _may_be_spaced(text: str) -> bool:
    """False for ``step 1 loss=0.3``, most lines of most logs: the expression takes half a millisecond to compile."""
    words = text.split()
    return any(
        (word[0] in "+-.[nNiI" or word[0].isdigit()) and not _is_no_name(before)
        for before, word in zip(words, words[1:])
    )


def _is_no_name(word: str) -> bool:
    return word.lower() in _PROSE or is_step(word) or word.lower() in SPLITS


def _prefix(text: str, start: int, key: str) -> str:
    """``train loss 2.0, val loss 2.1`` are two names."""
    word = re.search(r"([A-Za-z]+) $", text[:start])
    split = SPLITS.get(word[1].lower()) if word else None
    return f"{split}/{key}" if split else key


def collect(
    pairs: list[Pair], steps: dict[str, Place], split: str, seen: list[tuple[re.Match[str], int]]
) -> Places | None:
    """``seen``: what was found, whose first group is its key, and where the text begins."""
    values: dict[str, Place] = {}
    for name, place in pairs:
        if is_step(name):
            steps.setdefault(name.lower(), place)
        else:
            whole = name if not split or _SPLIT_IN_NAME.search(name) else f"{split}/{name}"
            values.setdefault(whole, place)
    keys = (
        tuple(start + end for end in match.span(1))
        for match, start in seen
        if any(letter.isdecimal() for letter in match[1])
    )
    return Places(steps, values, tuple(keys)) if values else None  # type: ignore[arg-type]
