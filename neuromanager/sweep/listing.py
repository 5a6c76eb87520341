"""The lines of ``neusweep -n`` and ``--json``: parts are quoted once, and joined a few thousand at a time."""

from __future__ import annotations

import itertools

from neuromanager.sweep.grid import Sweep
from neuromanager.sweep.tree import LISTED, Node, Point, Product, make_product, stream
from neuromanager.system.jsonvalues import render_json
from neuromanager.system.values import Callable, Iterable, Iterator

Render = Callable[[Point], str]  # the words of a part of a point, quoted, each with a space before it


def list_texts(sweep: Sweep, before: str, after: str, render: Render) -> Iterator[str]:
    """Whole lines, many in one text: ``before``, the parts of a point as rendered, ``after``."""
    for grid in sweep.grids:
        if grid.is_plain() and isinstance(grid.tree, Product):
            yield from _list_product(grid.tree, before, after, render)
        else:
            yield from _join(f"{before}{_render_all(point, render)}{after}\n" for point in grid.points())


def list_objects(sweep: Sweep) -> Iterator[str]:
    """Every point as one JSON object on one line, many in one text."""

    def render(point: Point) -> str:
        return "".join(f", {render_json(name)}: {render_json(value)}" for name, value in point)

    for text in list_texts(sweep, "{", "}", render):
        yield ("\n" + text).replace("\n{, ", "\n{")[1:]  # no newline stands inside a JSON text


def _render_all(point: Point, render: Render) -> str:
    return "".join(render((pair,)) for pair in point)


def _list_product(product: Product, before: str, after: str, render: Render) -> Iterator[str]:
    """The parameters that vary fastest make one block of texts, which each of the slower ones' points repeats."""
    fast, slow = _split(product)
    block = list(_stream_texts(make_product(fast, product.first), render))
    if len(block) == 1:
        parts = _stream_texts(product, render)
        yield from _join(f"{before}{part}{after}\n" for part in parts)
        return
    for part in _stream_texts(make_product(slow, product.first), render):
        head, tail = (before, part + after) if product.first else (before + part, after)
        yield f"{head}{f'{tail}{chr(10)}{head}'.join(block)}{tail}\n"


def _split(product: Product) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The fast children, whose points fit in memory, and the others; both in the order of the file."""
    children, size = product.outermost_first(), 1
    place = len(children)
    while place and size * children[place - 1].length() <= LISTED:
        place -= 1
        size *= children[place].length()
    fast, slow = children[place:], children[:place]
    return (fast[::-1], slow[::-1]) if product.first else (fast, slow)


def _stream_texts(node: Node, render: Render) -> Iterator[str]:
    return stream(node, render, "".join)


def _join(lines: Iterable[str]) -> Iterator[str]:
    lines = iter(lines)
    while chunk := list(itertools.islice(lines, LISTED)):
        yield "".join(chunk)
