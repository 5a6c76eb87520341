"""Values of a parameter that are different in the file, and the same words on a command line: their runs are equal."""

from __future__ import annotations

from neuromanager.sweep.grid import Sweep
from neuromanager.sweep.tree import Leaf, Listed, Node, Sum
from neuromanager.sweep.words import Style, render_flags, render_variables, words_of
from neuromanager.system.jsonvalues import Value, render_json
from neuromanager.system.quoting import Command
from neuromanager.system.values import Collection, Iterator


def find_alike(sweep: Sweep, style: Style, placed: Collection[str]) -> Iterator[str]:
    """One line for each such parameter."""
    for grid in sweep.grids:
        for leaf in _list_leaves(grid.tree):
            yield from _find_alike(leaf, style, placed)


def _list_leaves(node: Node) -> Iterator[Leaf]:
    if isinstance(node, Leaf):
        yield node
    else:
        for part in node.branches if isinstance(node, Sum) else node.children:
            yield from _list_leaves(part)


def _find_alike(leaf: Leaf, style: Style, placed: Collection[str]) -> Iterator[str]:
    if not isinstance(leaf.values, Listed) or len(leaf.names) > 1:
        return
    (name,), values = leaf.names, [row[0] for row in leaf.values.rows]
    if len(set(map(type, values))) == 1 or (style.form == "none" and name not in placed):
        return
    seen: dict[Command, Value] = {}
    for value in values:
        words = _render(name, value, style, placed)
        if words not in seen:
            seen[words] = value
            continue
        mend = "remove one of them"
        if value in (False, None) and seen[words] in (False, None):
            mend = "--style=no-x, nox or bool writes false as --no-x, --nox or --x=false"
        yield f"{name}: {render_json(seen[words])} and {render_json(value)} give the same command line; {mend}"
        return


def _render(name: str, value: Value, style: Style, placed: Collection[str]) -> Command:
    if name in placed:
        return words_of(value)
    point = ((name, value),)
    return (
        (*render_variables(point), *render_flags(point, style)) if style.form == "env" else render_flags(point, style)
    )
