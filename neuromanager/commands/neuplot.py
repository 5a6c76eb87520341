"""neuplot: a picture of what runs measured: over their steps, against a parameter, or of two."""

from __future__ import annotations

import json
import os
import sys

from neuromanager.experiment.select import resolve_selections
from neuromanager.experiment.states import COMPLETED
from neuromanager.results import plot, render
from neuromanager.results.measure import measure
from neuromanager.results.readers import Wanted
from neuromanager.results.records import Measured, list_names
from neuromanager.results.series import Series, Value, make_series, pick
from neuromanager.results.statistics import real
from neuromanager.results.table import ERRORS, Column, parse_column, resolve_name
from neuromanager.status.survey import read_reports
from neuromanager.system.faults import NOT_FOUND, TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.files import list_stdin, write_file
from neuromanager.system.process import ask
from neuromanager.system.programs import search_path
from neuromanager.system.site import HERE
from neuromanager.system.values import Callable, Mapping, NamedTuple, Sequence
from neuromanager.terminal.console import tell
from neuromanager.terminal.options import Options, Parser, parse_count, parse_options, split_operands

NAME = "neuplot"
_DRAWING_SECONDS = 120.0


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuplot -y NAME [OPTION ...] [EXPERIMENT|RUN|JOB ... | -]",
        "Draws what runs measured, by gnuplot: curves over their steps, with mean and band where runs are repeats.",
        "With -o FILE.png it also writes FILE.gp and FILE.dat, to go on by hand. - reads neutable --steps --json.\n"
        "Exit: 0 done, 100 wrong input, 111 gnuplot failed, 127 there is no gnuplot. See neuplot(1).",
    )
    add = parser.add_argument
    add("-y", metavar="NAME", help="what is drawn: a name of neutable --names; with -x also min:NAME, max: ...")
    add("-x", metavar="NAME", help="against this parameter (default: over the steps)")
    add("--by", metavar="NAME,...", help="a line for each value of these parameters (default: of all that differ)")
    add("--facet", metavar="NAME", help="a picture for each value of this parameter, with one range and key")
    add("--heat", metavar="NAME", help="with -x: a map of -x and this parameter, with -y as colour")
    add(
        "--band",
        metavar="KIND",
        choices=(*ERRORS, "none"),
        help="around the mean: se (default), std, ci95, minmax or none",
    )
    add("--runs", action="store_true", help="a line for each run, and no mean")
    add("--log", metavar="AXES", choices=("x", "y", "xy"), help="logarithmic axes: x, y or xy")
    add("--points", action="store_true", help="points, and no lines between them")
    add("--smooth", metavar="N", help="the mean of N neighbouring steps (default: off)")
    add("-f", "--files", metavar="GLOB", help="read the files of the run's folder that match, as neutable does")
    add("-o", "--output", metavar="FILE", help="write FILE, a .png, .svg, .pdf or .txt (default: draw in the terminal)")
    add(
        "-T", "--terminal", metavar="KIND", choices=tuple(plot.TERMINALS), help="draw as text (default), sixel or kitty"
    )
    return parser.finish()


class Picture(NamedTuple):
    data: str
    script: Callable[[Mapping[str, str], str], str]  # of where it goes, and the name of the data


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    _check_options(options, operands)
    measured = _read_stdin() if operands == ["-"] else _read_runs(operands, options)
    picture = _make_picture(measured, options)
    return _draw(picture, options)


_OF_LINES = ("by", "facet", "runs", "points", "smooth", "band", "log")


def _check_options(options: Options, operands: Sequence[str]) -> None:
    faults = []
    if not options.y:
        faults.append("-y is missing: what is to be drawn? neutable --names lists what the runs measured")
    if options.heat and not options.x:
        faults.append("--heat: of two parameters; add -x NAME")
    lines = [name for name in _OF_LINES if getattr(options, name)]
    if options.heat and lines:
        faults.append(f"--heat: a map has no lines; leave {' and '.join(f'--{name}' for name in lines)} out")
    elif options.runs and options.band:
        faults.append("--band: of a mean, and --runs draws none; leave one of them out")
    if options.x and (options.smooth or options.runs):
        faults.append("--smooth and --runs: of curves over steps; leave -x out, or them")
    if options.output is not None and options.terminal:
        faults.append("--output and --terminal exclude each other; choose one of them")
    if options.output is not None and (mend := plot.check_file(options.output)):
        faults.append(f"--output: {options.output!r}: {mend}")
    if "-" in operands and options.files:
        faults.append("--files: what is read from - is a table already; give it to the neutable that makes it")
    if "-" in operands and len(operands) > 1:
        faults.append("-: stands alone; name experiments, or read standard input")
    if faults:
        raise Failure(WRONG_INPUT, *faults)


def _read_runs(operands: Sequence[str], options: Options) -> list[Measured]:
    wanted = Wanted(options.files, columns=(parse_column(options.y),))
    measured, source = measure(read_reports(resolve_selections(operands, os.environ), HERE), wanted)
    tell(f"results from {source}")
    return measured


def _read_stdin() -> list[Measured]:
    """Lines of neutable --steps --json: those of one run are one series."""
    from neuromanager.experiment.states import Status

    rows: dict[str, list[Mapping[str, Value]]] = {}
    first: dict[str, tuple[str, Mapping[str, Value]]] = {}
    for number, line in enumerate(list_stdin(), 1):
        try:
            record = render.parse_record(json.loads(line))
        except (ValueError, RecursionError):
            raise Failure(WRONG_INPUT, f"standard input, line {number}: not a line of neutable --json") from None
        rows.setdefault(record.run, []).append(record.results)
        first.setdefault(record.run, (record.state, record.params))
    return [
        Measured(run, Status(number, first[run][0]), first[run][1], make_series(rows[run]))
        for number, run in enumerate(rows)
    ]


def _make_picture(measured: Sequence[Measured], options: Options) -> Picture:
    known = list_names(measured)
    how, name = parse_column(options.y)
    column = Column(how, resolve_name("-y", name, known))
    params = list(dict.fromkeys(name for each in measured for name in each.params))
    if options.x is None:
        if how != "last":
            raise Failure(WRONG_INPUT, f"-y: {options.y}: one value of a run; add -x NAME, and draw it against that")
        return _draw_curves(measured, column.name, params, options)
    x = resolve_name("-x", options.x, params)
    done = [each for each in measured if each.status.state == COMPLETED]
    if len(done) < len(measured):
        tell(f"{len(measured) - len(done)} of {len(measured)} runs did not complete, and are left out")
    if options.heat:
        return _draw_grid(done, column, x, resolve_name("--heat", options.heat, params))
    return _draw_parameter(done, column, x, params, options)


def _draw_curves(measured: Sequence[Measured], name: str, params: Sequence[str], options: Options) -> Picture:
    having = [each for each in measured if each.series.values(name)]
    if len(having) < len(measured):
        tell(f"{len(measured) - len(having)} of {len(measured)} runs have no {name}, and are left out")
    width = parse_count("--smooth", options.smooth) or 1

    def sample(each: Measured) -> list[tuple[float, float]]:
        return _list_curve(each.series, name)

    if having and params and all(len(sample(each)) == 1 for each in having):
        tell(f"{name}: one value in each run; to draw it against a parameter add -x {' or -x '.join(params)}")
    facets = _group(having, params, options, sample, lambda places: plot.smooth(places, width))
    steps = list(dict.fromkeys(each.series.step or "point" for each in having))
    axes = plot.Axes(" or ".join(steps) or "step", name, options.log or "", (), options.points, options.band != "none")
    return Picture(plot.render_data(facets), lambda output, data: plot.render_script(facets, axes, output, data))


def _list_curve(series: Series, name: str) -> list[tuple[float, float]]:
    found = []
    for place, point in enumerate(series.points):
        x = point.get(series.step) if series.step else place
        y = point.get(name)
        if isinstance(x, (int, float)) and isinstance(y, (int, float)):
            found.append((real(x), real(y)))
    return found


def _draw_parameter(
    measured: Sequence[Measured], column: Column, x: str, params: Sequence[str], options: Options
) -> Picture:
    ticks = _find_ticks(measured, x)

    def sample(each: Measured) -> list[tuple[float, float]]:
        y = pick(each.series, column.how, column.name)
        place = ticks.index(_text(each.params.get(x))) if ticks else each.params.get(x)
        return [(real(place), real(y))] if isinstance(y, (int, float)) and isinstance(place, (int, float)) else []

    facets = _group(measured, [name for name in params if name != x], options, sample, list)
    axes = plot.Axes(x, str(column), options.log or "", tuple(ticks), options.points, options.band != "none")
    return Picture(plot.render_data(facets), lambda output, data: plot.render_script(facets, axes, output, data))


def _find_ticks(measured: Sequence[Measured], name: str) -> list[str]:
    """The values of a parameter that are not numbers, in the order of the runs; [] when all are numbers."""
    values = [each.params.get(name) for each in measured]
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return [] if numeric else list(dict.fromkeys(map(_text, values)))


def _text(value: Value) -> str:
    return render.shorten(value, 6) if value is not None else "null"


def _group(
    measured: Sequence[Measured],
    params: Sequence[str],
    options: Options,
    sample: Callable[[Measured], list[tuple[float, float]]],
    shape: Callable[[list[plot.Place]], list[plot.Place]],
) -> list[plot.Facet]:
    """A facet for each value of --facet, a line in it for each group; a group has one colour everywhere."""
    facet = resolve_name("--facet", options.facet, params) if options.facet else None
    if options.by:
        by = [resolve_name("--by", name, params) for name in options.by.split(",")]
    else:
        by = [name for name in params if name != facet and len({_text(each.params.get(name)) for each in measured}) > 1]
    error = None if options.runs or options.band == "none" else options.band or "se"
    groups: dict[str, dict[str, list[Measured]]] = {}
    colors: dict[str, int] = {}
    for each in measured:
        title = each.run if options.runs else " ".join(f"{name}={_text(each.params.get(name))}" for name in by)
        colors.setdefault(title, len(colors))
        head = f"{facet}={_text(each.params.get(facet))}" if facet else ""
        groups.setdefault(head, {}).setdefault(title, []).append(each)

    def draw(title: str, members: list[Measured]) -> plot.Line:
        places = plot.gather((pair for each in members for pair in sample(each)), error)
        return plot.Line(title, shape(places), colors[title])

    return [
        plot.Facet(head, [draw(title, members) for title, members in lines.items()]) for head, lines in groups.items()
    ]


def _draw_grid(measured: Sequence[Measured], column: Column, x: str, y: str) -> Picture:
    across, up = ([_text(value) for value in _list_values(measured, name)] for name in (x, y))
    cells: list[list[list[float]]] = [[[] for _ in across] for _ in up]
    for each in measured:
        value = pick(each.series, column.how, column.name)
        if isinstance(value, (int, float)):
            cells[up.index(_text(each.params.get(y)))][across.index(_text(each.params.get(x)))].append(real(value))
    means = [[sum(cell) / len(cell) if cell else float("nan") for cell in row] for row in cells]
    grid = plot.Grid(str(column), across, up, means)
    return Picture(
        plot.render_grid_data(grid), lambda output, data: plot.render_grid_script(grid, (x, y), output, data)
    )


def _list_values(measured: Sequence[Measured], name: str) -> list[Value]:
    """Numbers ascending, else as they come."""
    values = list(dict.fromkeys(each.params.get(name) for each in measured))
    if all(isinstance(value, (int, float)) for value in values):
        return sorted(values)  # type: ignore[type-var]
    return values


def _draw(picture: Picture, options: Options) -> int:
    if options.output is None:
        import shutil
        import tempfile

        with tempfile.TemporaryDirectory(prefix="neuplot-") as folder:
            columns, rows = shutil.get_terminal_size((80, 24))
            terminal = plot.TERMINALS[options.terminal or "text"]
            size = f" size {columns},{max(10, rows - 1)} noenhanced" if terminal == "dumb" else " noenhanced"
            return _run(picture, {"terminal": terminal + size}, os.path.join(folder, "plot"), print_it=True)
    stem, _, ending = options.output.rpartition(".")
    sizes = {
        "png": " size 1000,700 noenhanced",
        "svg": " size 1000,700 noenhanced",
        "pdf": " size 7in,5in noenhanced",
        "txt": " size 100,35 noenhanced",
    }
    name = plot.as_file(os.path.basename(options.output))
    return _run(picture, {"terminal": plot.ENDINGS[ending] + sizes[ending], "file": name}, stem, print_it=False)


def _run(picture: Picture, output: Mapping[str, str], stem: str, print_it: bool) -> int:
    """Writes STEM.dat and STEM.gp, and has gnuplot draw in their folder, so that both can be moved together."""
    folder, name = os.path.dirname(os.path.abspath(f"{stem}.dat")), plot.as_file(os.path.basename(stem))
    try:
        write_file(f"{stem}.dat", picture.data)
        write_file(f"{stem}.gp", picture.script(output, f"{name}.dat"))
    except OSError as error:
        raise Failure(WRONG_INPUT, f"{error.filename or stem}: {error.strerror}; nothing was drawn") from None
    if search_path("gnuplot") is None:
        left = "" if print_it else f"; {stem}.gp and {stem}.dat are written"
        raise Failure(NOT_FOUND, f"gnuplot: no such program on PATH{left}; install it (gnuplot-nox on Debian)")
    there = ["sh", "-c", 'cd -- "$1" && exec gnuplot -d "$2"', "sh", folder, f"{name}.gp"]
    answer = ask(there, _DRAWING_SECONDS)
    if answer.exit_code != 0:
        said = [f"gnuplot said: {line}" for line in answer.stderr.split("\n") if line.strip()]
        raise Failure(TROUBLE, "gnuplot failed", *said[:10])
    if print_it:
        sys.stdout.write(answer.stdout)
    return 0
