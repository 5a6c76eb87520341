"""Curves, points and heat maps of results as a script for gnuplot and the data that it draws.

Names and values of users stand in single quotes, in which gnuplot substitutes nothing (gnuplot 5.4, "Quotes"), and as
text without markup (``noenhanced``).
"""

from __future__ import annotations

import math

from neuromanager.results.statistics import spread
from neuromanager.system.values import Iterable, Mapping, NamedTuple, Sequence

# Okabe and Ito, Color Universal Design (2008): told apart by all kinds of colour vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")
# Smith and van der Walt, matplotlib's default: even for the eye, and in grey.
_VIRIDIS = "0 '#440154', 1 '#3b528b', 2 '#21918c', 3 '#5ec962', 4 '#fde725'"
ENDINGS = {"png": "pngcairo", "svg": "svg", "pdf": "pdfcairo", "txt": "dumb"}
TERMINALS = {"text": "dumb", "sixel": "sixelgd", "kitty": "kittycairo"}


class Place(NamedTuple):
    """A mean with its band, at one place of the x axis."""

    x: float
    mean: float
    low: float
    high: float
    runs: int


class Line(NamedTuple):
    title: str
    places: list[Place]
    color: int  # the same in all facets


class Facet(NamedTuple):
    title: str
    lines: list[Line]


class Axes(NamedTuple):
    x: str
    y: str
    log: str = ""  # of x, y and xy
    ticks: tuple[str, ...] = ()  # x counts these words
    with_points: bool = False  # and no lines between them
    band: bool = True


class Grid(NamedTuple):
    """A heat map: a mean for each pair of two parameters' values."""

    title: str
    columns: list[str]
    rows: list[str]
    cells: list[list[float]]  # by row; NaN: no run


def gather(samples: Iterable[tuple[float, float]], error: str | None) -> list[Place]:
    """(x, y) of several runs -> a mean for each x, ascending; NaN in y belongs to no mean, and is counted out."""
    found: dict[float, list[float]] = {}
    for x, y in samples:
        if math.isfinite(x) and math.isfinite(y):
            found.setdefault(x, []).append(y)
    places = []
    for x in sorted(found):
        mean, low, high = spread(found[x], error or "se")
        whole = error is not None and math.isfinite(low)
        places.append(Place(x, mean, low if whole else mean, high if whole else mean, len(found[x])))
    return places


def smooth(places: Sequence[Place], width: int) -> list[Place]:
    """The mean of so many neighbours, half on each side; at the ends of those that there are."""
    if width < 2:
        return list(places)
    half, found = width // 2, []
    for number, place in enumerate(places):
        near = places[max(0, number - half) : number + half + 1]
        low, mean, high = (math.fsum(each[field] for each in near) / len(near) for field in (2, 1, 3))
        found.append(place._replace(mean=mean, low=low, high=high))
    return found


def quote(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return "'" + clean.replace("'", "''") + "'"


def check_file(path: str) -> str | None:
    """The mend for a name of a picture that cannot be drawn."""
    stem, _, ending = path.rpartition(".")
    name = stem.rpartition("/")[2]
    if not name or ending not in ENDINGS:
        return f"write a name that ends in .{', .'.join(ENDINGS)}"
    return None if name.isprintable() else "gnuplot takes letters that can be printed, in UTF-8, alone"


def as_file(name: str) -> str:
    """Never an option, a command (``<``, ``|``), a block of data (``$``) or a function (``+``) of gnuplot's."""
    return name if name[0].isalnum() else f"./{name}"


def render_data(facets: Sequence[Facet]) -> str:
    """A block for each line, two empty lines between them: x, mean, low, high, how many runs."""
    blocks = []
    for facet in facets:
        for line in facet.lines:
            title = " ".join(f"{facet.title} {line.title}".split())
            rows = [f"{place.x!r} {place.mean!r} {place.low!r} {place.high!r} {place.runs}" for place in line.places]
            blocks.append("\n".join([f"# {title}".replace("\x00", " "), "# x mean low high runs", *rows]))
    return "\n\n\n".join(blocks) + "\n"


def render_script(facets: Sequence[Facet], axes: Axes, output: Mapping[str, str], data: str) -> str:
    """``output``: ``terminal`` with its options, and ``file`` unless it goes to the terminal. One key for all."""
    lines = [*_begin(output), "set grid", "set style fill transparent solid 0.2 noborder", *_name_axes(axes)]
    columns = 1 if len(facets) < 2 else math.ceil(math.sqrt(len(facets)))
    if len(facets) > 1:
        rows = math.ceil(len(facets) / columns)
        lines.append(f"set multiplot layout {rows},{columns}")
        lines += _share_ranges(facets, axes)
    dumb = output["terminal"].startswith("dumb")
    key = "tmargin horizontal width 2" if dumb else "top right"  # in text a curve takes the place of what it crosses
    index = 0
    for place, facet in enumerate(facets):
        if facet.title:
            lines.append(f"set title {quote(facet.title)} noenhanced")
        lines.append(f"set key {key} noenhanced" if place == 0 else "unset key")
        drawn = []
        for line in facet.lines:
            drawn += _draw_line(line, axes, data, index, dumb)
            index += 1
        lines.append("plot " + ", \\\n     ".join(drawn))
    return "\n".join([*lines, *(["unset multiplot"] if len(facets) > 1 else [])]) + "\n"


def _begin(output: Mapping[str, str]) -> list[str]:
    lines = ["# Made by neuplot; gnuplot FILE draws it again.", f"set terminal {output['terminal']}"]
    if "file" in output:
        lines.append(f"set output {quote(output['file'])}")
    return [*lines, "set encoding utf8"]


def _name_axes(axes: Axes) -> list[str]:
    lines = [f"set xlabel {quote(axes.x)} noenhanced", f"set ylabel {quote(axes.y)} noenhanced"]
    if axes.log:
        lines.append(f"set logscale {axes.log}")
    if axes.ticks:
        words = ", ".join(f"{quote(word)} {place}" for place, word in enumerate(axes.ticks))
        lines += [f"set xtics ({words}) noenhanced", f"set xrange [-0.5:{len(axes.ticks) - 0.5}]"]
    return lines


def _share_ranges(facets: Sequence[Facet], axes: Axes) -> list[str]:
    """The same of both axes in all facets, so that they can be compared."""
    places = [place for facet in facets for line in facet.lines for place in line.places]
    lines = []
    for name, low, high in (
        ("x", [place.x for place in places], [place.x for place in places]),
        ("y", [place.low for place in places], [place.high for place in places]),
    ):
        if low and not (name == "x" and axes.ticks):
            least, most = min(low), max(high)
            room = 0.0 if name in axes.log else 0.03 * (most - least)
            if most > least:
                lines.append(f"set {name}range [{least - room!r}:{most + room!r}]")
    return lines


def _draw_line(line: Line, axes: Axes, data: str, index: int, dumb: bool) -> list[str]:
    color = f"linecolor rgb '{COLORS[line.color % len(COLORS)]}'"
    source = f"{quote(data)} index {index}"
    title = f"title {quote(line.title)}" if line.title else "notitle"
    banded = axes.band and not dumb and any(place.high > place.low for place in line.places)
    if axes.with_points or axes.ticks:
        error = [f"{source} using 1:2:3:4 with yerrorbars {color} notitle"] if banded else []
        style = "points pointtype 7" if axes.with_points else "linespoints pointtype 7"
        return [*error, f"{source} using 1:2 with {style} {color} {title}"]
    area = [f"{source} using 1:3:4 with filledcurves {color} notitle"] if banded else []
    return [*area, f"{source} using 1:2 with lines linewidth 2 {color} {title}"]


def render_grid_data(grid: Grid) -> str:
    rows = [f"# {' '.join(grid.title.split())}", "# column row mean"]
    for y, cells in enumerate(grid.cells):
        rows += [f"{x} {y} {'NaN' if math.isnan(cell) else repr(cell)}" for x, cell in enumerate(cells)]
        rows.append("")
    return "\n".join(rows) + "\n"


def render_grid_script(grid: Grid, names: tuple[str, str], output: Mapping[str, str], data: str) -> str:
    lines = _begin(output)
    for axis, name, words in (("x", names[0], grid.columns), ("y", names[1], grid.rows)):
        ticks = ", ".join(f"{quote(word)} {place}" for place, word in enumerate(words))
        lines += [f"set {axis}label {quote(name)} noenhanced", f"set {axis}tics ({ticks}) noenhanced"]
        lines.append(f"set {axis}range [-0.5:{len(words) - 0.5}]")
    lines += [
        f"set title {quote(grid.title)} noenhanced",
        "unset key",
        "unset grid",
        f"set palette defined ({_VIRIDIS})",
    ]
    source = quote(data)
    lines.append("set style textbox opaque noborder fillcolor rgb '#ffffff'")
    labels = f"{source} using 1:2:(sprintf('%.3g', $3)) with labels boxed noenhanced"
    return "\n".join([*lines, f"plot {source} using 1:2:3 with image, \\\n     {labels}"]) + "\n"
