"""params.json -> Sweep, with what its schema cannot tell: zips, names that meet, equal values, ranges, exclusions."""

from __future__ import annotations

from neuromanager.sweep.draws import Distribution, parse_distribution
from neuromanager.sweep.exclusion import Exclusion, Uncounted
from neuromanager.sweep.grid import Grid, Sweep, make_sweep
from neuromanager.sweep.ranges import parse_geometric, parse_linear, parse_range
from neuromanager.sweep.tree import Leaf, Listed, Node, Point, Row, draws_in, make_product, make_sum, prune
from neuromanager.system.faults import WRONG_INPUT, Failure, join_path, offer_nearest
from neuromanager.system.jsonvalues import Value, Words, equality_key, render_json
from neuromanager.system.values import Any, Callable, Iterable, Mapping, NamedTuple

GRID_WORDS = ("$schema", "$style", "$include", "$exclude")
RANGES: dict[str, Callable[[list[Value]], Any]] = {
    "$range": parse_range,
    "$linspace": parse_linear,
    "$geomspace": parse_geometric,
}
DISTRIBUTIONS = ("$uniform", "$loguniform", "$randint")
SOURCES = ("$files", "$lines")
MOST_POINTS = 10**1000  # Python prints no number of more than 4,300 digits
EXACT = ("$value", "$words")  # one value as it stands, whatever it is
Contents = Mapping[tuple[str, str], tuple[str, ...]]  # ($files or $lines, what stands there) -> values


class Reading(NamedTuple):
    """What goes along while a document is read."""

    first: bool
    contents: Contents
    faults: list[str]


class Part(NamedTuple):
    """A part of the sweep, and where each of its names stands in the file."""

    node: Node
    places: dict[str, str]


EMPTY = make_product(())


def parse_sweep(
    document: Any, source: str = "params.json", *, first: bool = False, contents: Contents | None = None
) -> Sweep:
    """A params.json that fits its schema; raises Failure with every fault of it, each with its JSON path.

    With ``first``, the first parameter varies fastest. ``contents`` are the values of ``$files`` and ``$lines``.
    """
    reading = Reading(first, contents or {}, [])
    if isinstance(document, list):
        grids = [_parse_grid(grid, f"[{place}]", reading) for place, grid in enumerate(document)]
    else:
        grids = [_parse_grid(document, "", reading)]
    if reading.faults:
        raise Failure(WRONG_INPUT, *dict.fromkeys(f"{source}: {fault}" for fault in reading.faults))
    return make_sweep(grids)


def find_styles(document: Any) -> list[str]:
    """Every ``$style`` of a document."""
    return [grid["$style"] for grid in (document if isinstance(document, list) else [document]) if "$style" in grid]


def find_sources(document: Any) -> Iterable[tuple[str, str, str]]:
    """Every ``$files`` and ``$lines`` of a document, as its JSON path, the word and its text."""
    stack = [("", document)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, list):
            stack.extend((f"{path}[{place}]", item) for place, item in enumerate(value))
        elif isinstance(value, dict):
            for name, item in value.items():
                if name in SOURCES:
                    yield join_path(path, name), name, item
                elif name not in (*EXACT, *GRID_WORDS):
                    stack.append((join_path(path, name), item))


def _parse_grid(document: dict[str, Any], path: str, reading: Reading) -> Grid:
    before = len(reading.faults)
    part = _parse_object(document, path, reading)
    tree = part.node
    if "$include" in document and all(name in GRID_WORDS for name in document):
        tree = make_sum(())  # nothing but the points that are included
    excluded = _parse_entries(document, "$exclude", path, reading)
    included = _parse_entries(document, "$include", path, reading)
    if len(reading.faults) > before:
        return Grid(tree, None, (), (), 0)
    here = join_path(path, "$exclude")
    _check_excluded(excluded, part, here, reading.faults)
    if tree.length() > MOST_POINTS:
        reading.faults.append(f"{path + ': ' if path else ''}more than 10^1000 points; is this the right file?")
        return Grid(tree, None, (), (), 0)
    exclusion = Exclusion(tree, _partials_of(excluded)) if excluded else None
    try:
        kept = (exclusion or tree).length()
        extending = tuple(entry for entry in included if _fits_some_point(entry, tree, excluded))
    except Uncounted as error:
        reading.faults.append(f"{here}: {error}")
        return Grid(tree, None, (), (), 0)
    if exclusion and not kept and not included:
        reading.faults.append(f"{here}: excludes every point; leave at least one")
    return Grid(tree, exclusion, extending, tuple(entry for entry in included if entry not in extending), kept)


def _partials_of(entries: Iterable[Point]) -> list[dict[str, Any]]:
    return [{name: equality_key(value) for name, value in entry} for entry in entries]


def _fits_some_point(entry: Point, tree: Node, excluded: list[Point]) -> bool:
    left = prune(tree, _partials_of([entry])[0])
    return left is not None and Exclusion(left, _partials_of(excluded)).length() > 0


def _parse_entries(document: dict[str, Any], word: str, path: str, reading: Reading) -> list[Point]:
    """The objects of ``$include`` or ``$exclude``: names with one value each."""
    here = join_path(path, word)
    entries = [tuple((name, _take_exact(value)) for name, value in entry.items()) for entry in document.get(word, [])]
    keys = [frozenset(partial.items()) for partial in _partials_of(entries)]
    _refuse_repeated(keys, [dict(entry) for entry in entries], here, reading.faults)
    return entries


def _check_excluded(entries: list[Point], part: Part, path: str, faults: list[str]) -> None:
    for place, entry in enumerate(entries):
        unknown = [name for name, _ in entry if name not in part.places]
        for name in unknown:
            fault = f"{join_path(f'{path}[{place}]', name)}: no parameter with this name"
            faults.append(f"{fault}; {offer_nearest(name, part.places)}")
        if unknown:
            continue
        if prune(part.node, _partials_of([entry])[0]) is None or not _fits_whole(entry, part.node):
            faults.append(f"{path}[{place}]: no point matches, so none is excluded; remove the entry")


def _fits_whole(entry: Point, tree: Node) -> bool:
    """Whether a point has all pairs of the entry, and not only none against it."""
    return Exclusion(tree, _partials_of([entry])).length() < tree.length()


def _parse_object(document: dict[str, Any], path: str, reading: Reading) -> Part:
    parts = [
        (_parse_parameter(name, value, join_path(path, name), reading), join_path(path, name))
        for name, value in document.items()
        if name not in GRID_WORDS
    ]
    return _multiply(parts, reading)


def _multiply(parts: list[tuple[Part, str]], reading: Reading) -> Part:
    """Parts that meet in every point: no name may be in two of them."""
    places: dict[str, str] = {}
    for part, _ in parts:
        for name, place in part.places.items():
            if name in places:
                reading.faults.append(
                    f"{place}: {name!r} is given twice in one point, here and at {places[name]}; "
                    "rename one, or put both in branches that never meet"
                )
            places.setdefault(name, place)
    return Part(make_product((part.node for part, _ in parts), reading.first), places)


def _parse_parameter(name: str, value: Any, path: str, reading: Reading) -> Part:
    if "," in name:
        return _parse_zip(tuple(name.split(",")), value, path, reading)
    if isinstance(value, list):
        return _parse_list(name, value, path, reading)
    if not isinstance(value, dict):
        return Part(Leaf((name,), Listed(((value,),))), {name: path})
    if any(key.startswith("$") for key in value):
        return Part(_parse_word(name, value, path, reading), {name: path})
    return _parse_choices(name, value, path, reading)


def _parse_choices(name: str, choices: dict[str, Any], path: str, reading: Reading) -> Part:
    """A conditional: each choice is a value of its own, and brings the parameters that only it has."""
    parts = []
    for choice, document in choices.items():
        own = Part(Leaf((name,), Listed(((choice,),))), {name: path})
        below = join_path(path, choice)
        parts.append(_multiply([(own, path), (_parse_object(document, below, reading), below)], reading))
    return _add(parts)


def _add(parts: Iterable[Part]) -> Part:
    """Parts that never meet."""
    listed = list(parts)
    places: dict[str, str] = {}
    for part in listed:
        for name, place in part.places.items():
            places.setdefault(name, place)
    return Part(make_sum(part.node for part in listed), places)


def _parse_list(name: str, items: list[Any], path: str, reading: Reading) -> Part:
    if _is_alternative(items[0]):
        return _add(_parse_object(item, f"{path}[{place}]", reading) for place, item in enumerate(items))
    if isinstance(items[0], list):
        mend = f'zip parameters by a name like "{name},depth", or write {{"$words": [...]}} for a list as a value'
        reading.faults.append(f"{path}: a list of lists, and one name; {mend}")
        return Part(EMPTY, {name: path})
    pieces: list[Node] = []
    rows: list[Row] = []
    keys: list[Any] = []
    for place, item in enumerate(items):
        if isinstance(item, dict) and not set(item) & set(EXACT):
            pieces += [Leaf((name,), Listed(tuple(rows)))] if rows else []
            pieces.append(_parse_word(name, item, f"{path}[{place}]", reading))
            rows = []
            keys.append(object())
        else:
            value = _take_exact(item)
            rows.append((value,))
            keys.append(equality_key(value))
    pieces += [Leaf((name,), Listed(tuple(rows)))] if rows else []
    _refuse_repeated(keys, items, path, reading.faults)
    _refuse_met(pieces, path, reading.faults)
    return Part(pieces[0] if len(pieces) == 1 else make_sum(pieces), {name: path})


def _take_exact(item: Any) -> Any:
    """A value that stands for itself: plain, or as ``$value`` and ``$words`` say."""
    if not isinstance(item, dict):
        return item
    return Words(item["$words"]) if "$words" in item else item.get("$value")


def _is_alternative(item: Any) -> bool:
    return isinstance(item, dict) and not any(key.startswith("$") for key in item)


def _refuse_repeated(keys: list[Any], items: list[Any], path: str, faults: list[str]) -> None:
    seen: dict[Any, int] = {}
    for place, key in enumerate(keys):
        if key in seen:
            text = render_json(items[place])
            faults.append(f"{path}[{place}]: {text} is at [{seen[key]}] already; remove one of them")
        seen.setdefault(key, place)


def _refuse_met(pieces: list[Node], path: str, faults: list[str]) -> None:
    """A value of a list that lies in a range of the same list as well."""
    leaves = [piece for piece in pieces if isinstance(piece, Leaf) and not draws_in(piece, any)]
    for place, leaf in enumerate(leaves):
        for other in leaves[:place] + leaves[place + 1 :]:
            shorter, longer = (leaf, other) if leaf.length() <= other.length() else (other, leaf)
            for index in range(min(shorter.length(), 100_000)) if len(leaves) > 1 else ():
                value = shorter.values.at(index)[0]
                if longer.values.find(0, equality_key(value)):
                    faults.append(f"{path}: {render_json(value)} is given twice; remove one of them")
                    return


def _parse_zip(names: tuple[str, ...], table: Any, path: str, reading: Reading) -> Part:
    rows: list[Row] = []
    if len(set(names)) < len(names) or "" in names:
        reading.faults.append(f"{path}: zipped names that are empty or equal; give each parameter its own name")
    if not isinstance(table, list):
        reading.faults.append(f"{path}: zipped parameters take a list of lists; write [[V1, V2], [V1, V2]]")
        table = []
    for place, row in enumerate(table):
        if not isinstance(row, list) or len(row) != len(names):
            told = f"{len(row)} value{'s' * (len(row) != 1)}" if isinstance(row, list) else render_json(row)
            mend = f"write a list of {len(names)} values"
            reading.faults.append(f"{path}[{place}]: {told} for {len(names)} names; {mend}")
            continue
        rows.append(tuple(map(_take_exact, row)))
    _refuse_repeated([tuple(map(equality_key, row)) for row in rows], [list(row) for row in rows], path, reading.faults)
    return Part(Leaf(names, Listed(tuple(rows))), {name: path for name in names})


def _parse_word(name: str, document: dict[str, Any], path: str, reading: Reading) -> Node:
    """``{"$range": ...}`` and the like: the values of one parameter."""
    ((word, given),) = document.items()
    here = join_path(path, word)
    try:
        if word in EXACT:
            return Leaf((name,), Listed(((_take_exact(document),),)))
        if word in RANGES:
            return Leaf((name,), RANGES[word](given))
        if word in DISTRIBUTIONS:
            return Leaf((name,), Listed(((_marker(parse_distribution(word, given)),),)))
    except ValueError as error:
        reading.faults.append(f"{here}: {error}")
        return EMPTY
    values = reading.contents.get((word, given), ())
    _refuse_repeated(list(values), list(values), here, reading.faults)
    return Leaf((name,), Listed(tuple((value,) for value in values)))


def _marker(distribution: Distribution) -> Any:
    return distribution
