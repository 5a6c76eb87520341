"""Sweeps of wandb, SEML, GitHub's matrix, Qanat, RemoteExperiments and tables of points -> a params.json."""

from __future__ import annotations

import csv
import io
import math

from neuromanager.sweep.imports import Imported
from neuromanager.system.faults import join_path
from neuromanager.system.jsonvalues import parse_float, parse_integer, render_json
from neuromanager.system.patterns import compile_late
from neuromanager.system.values import Any, Iterable, Mapping

RUN = "SUPPORT DEVICE"
_NUMBER = compile_late(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
DRAWN = "N: how many points; S: any number; the same S draws the same points"


def import_wandb(document: Any) -> Imported:
    """``parameters`` of a sweep's configuration: values, value, min and max, distributions, nested ones."""
    parameters = document.get("parameters") if isinstance(document, dict) else None
    if not isinstance(parameters, dict):
        return Imported({}, [], ["it has no object parameters: not a sweep of wandb"])
    faults: list[str] = []
    converted = _convert_wandb(parameters, "parameters", "", faults)
    drawn = any(isinstance(value, dict) and _is_drawn(value) for value in converted.values())
    template = document.get("command") or []
    command = " ".join(str(word) for word in template if not str(word).startswith("${")) or "python"
    style = ["--style=hydra"] if "${args_no_hyphens}" in template else []
    sample = ["--sample=N", "--seed=S"] if drawn or document.get("method") != "grid" else []
    notes = [" ".join(["neusweep", *style, *sample, "neurun", RUN, command, str(document.get("program", "COMMAND"))])]
    notes += [DRAWN] if sample else []
    if document.get("method") == "bayes":
        notes.append("method bayes: results choose no points here; these are random")
    return Imported(converted, notes, faults)


def _convert_wandb(parameters: Mapping[str, Any], path: str, prefix: str, faults: list[str]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for name, said in parameters.items():
        here, full = join_path(path, name), prefix + name
        if not isinstance(said, dict):
            faults.append(f"{here}: {render_json(said)} where wandb expects an object")
        elif isinstance(said.get("parameters"), dict):
            converted.update(_convert_wandb(said["parameters"], f"{here}.parameters", f"{full}.", faults))
        elif "values" in said:
            converted[full] = [_python_value(value) for value in said["values"]]
        elif "value" in said:
            converted[full] = _python_value(said["value"])
        else:
            converted[full] = _convert_distribution(said, here, faults)
    return converted


_DRAWS = {
    "uniform": "$uniform",
    "q_uniform": "$uniform",
    "int_uniform": "$randint",
    "log_uniform_values": "$loguniform",
    "loguniform": "$loguniform",
    "randint": "$randint",
}


def _convert_distribution(said: Mapping[str, Any], path: str, faults: list[str]) -> Any:
    """``min`` and ``max``, and a distribution that there is here; whole numbers for those of wandb without a name."""
    low, high = said.get("min"), said.get("max")
    kind = said.get("distribution") or said.get("type")
    if kind is None:
        kind = "int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform"
    if kind == "log_uniform" and isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return {"$loguniform": [math.exp(low), math.exp(high)]}  # wandb has the exponents there
    if kind not in _DRAWS or low is None or high is None:
        faults.append(f"{path}: {kind}: nothing here draws such a number; give min and max, or values")
        return None
    return {_DRAWS[kind]: [low, high]}


def _is_drawn(value: Mapping[str, Any]) -> bool:
    return bool({"$uniform", "$loguniform", "$randint"} & set(value))


def _python_value(value: Any) -> Any:
    """As these tools write it on a command line: Python's True and False, and other things whole."""
    if isinstance(value, bool):
        return str(value)
    return {"$value": value} if isinstance(value, (list, dict)) else value


def import_seml(document: Any) -> Imported:
    """``fixed``, ``grid`` and ``random``; each further configuration of the file is a sweep with the common ones."""
    if not isinstance(document, dict) or not any(key in document for key in ("fixed", "grid", "random")):
        return Imported({}, [], ["it has none of fixed, grid and random: not a configuration of SEML"])
    faults: list[str] = []
    common = _convert_seml(document, "", faults)
    others = [
        {**common, **_convert_seml(value, f"{name}.", faults)}
        for name, value in document.items()
        if isinstance(value, dict) and any(key in value for key in ("fixed", "grid", "random"))
    ]
    sweeps = [{"$style": "hydra", **sweep} for sweep in others or [common]]
    samples = [part["random"].get("samples") for part in (document, *document.values()) if _has_random(part)]
    seml = document.get("seml") if isinstance(document.get("seml"), dict) else {}
    program = (seml or {}).get("executable", "COMMAND")
    notes = [f"neusweep {'--sample=N --seed=S ' if samples else ''}neurun {RUN} python {program} with"]
    if samples:
        notes.append(f"N: samples ({', '.join(map(str, samples))}) times the points of grid; S: any number")
    notes += ["left out, since it belongs in config.json: slurm"] if "slurm" in document else []
    return Imported(sweeps[0] if len(sweeps) == 1 else sweeps, notes, faults)  # type: ignore[arg-type]


def _has_random(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("random"), dict)


def _convert_seml(part: Mapping[str, Any], path: str, faults: list[str]) -> dict[str, Any]:
    converted = {name: _plain_value(value) for name, value in _flatten(part.get("fixed") or {}, None)}
    zipped: dict[str, list[tuple[str, list[Any]]]] = {}
    for name, said in _flatten(part.get("grid") or {}, "type"):
        here = f"{path}grid.{name}"
        value = _convert_choice(said, here, {"uniform": "$linspace", "loguniform": "$geomspace"}, "num", faults)
        if isinstance(said, dict) and "zip_id" in said:
            if isinstance(value, list):
                zipped.setdefault(str(said["zip_id"]), []).append((name, value))
            else:
                faults.append(f"{here}: zip_id goes with options alone; write them out")
        else:
            converted[name] = value
    for columns in zipped.values():
        if len({len(values) for _, values in columns}) > 1:
            faults.append(f"{path}grid: {', '.join(name for name, _ in columns)}: one zip_id, and not equally many")
        converted[",".join(name for name, _ in columns)] = [
            list(row) for row in zip(*(values for _, values in columns))
        ]
    random = {name: said for name, said in (part.get("random") or {}).items() if name not in ("samples", "seed")}
    for name, said in _flatten(random, "type"):
        converted[name] = _convert_choice(said, f"{path}random.{name}", _DRAWS, None, faults)
    return converted


def _flatten(part: Mapping[str, Any], leaf: str | None, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested objects as dotted names; one with the key ``leaf`` is a value."""
    for name, value in part.items():
        if isinstance(value, dict) and value and not (leaf and leaf in value):
            yield from _flatten(value, leaf, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _convert_choice(said: Any, path: str, words: Mapping[str, str], count: str | None, faults: list[str]) -> Any:
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == "choice" and isinstance(said.get("options"), list):
        return [_plain_value(value) for value in said["options"]]
    if kind == "range" and {"min", "max"} <= set(said):
        return {"$range": [said["min"], said["max"], said.get("step", 1)]}
    if isinstance(kind, str) and kind in words and {"min", "max"} <= set(said) and (count is None or count in said):
        return {words[kind]: [said["min"], said["max"], *([said[count]] if count else [])]}
    faults.append(f"{path}: {render_json(said)}: nothing here has such values; write them out as options")
    return None


def _plain_value(value: Any) -> Any:
    return {"$value": value} if isinstance(value, (list, dict)) else value


def import_github(document: Any) -> Imported:
    """A matrix of GitHub Actions: alone, or the only one of a workflow."""
    found = [matrix for matrix in _find_matrices(document) if isinstance(matrix, dict)]
    if len(found) != 1:
        return Imported({}, [], [f"{len(found) or 'no'} objects matrix in it; leave one"])
    faults, converted = [], {}
    for name, values in found[0].items():
        if not isinstance(values, list):
            faults.append(f"matrix.{name}: {render_json(values)} where a list is expected")
        elif name in ("include", "exclude"):
            entries = [entry for entry in values if isinstance(entry, dict)]
            converted[f"${name}"] = [{key: _plain_value(value) for key, value in entry.items()} for entry in entries]
        else:
            converted[name] = [_plain_value(value) for value in values]
    return Imported(converted, [f"neusweep neurun {RUN} COMMAND"], faults)


def _find_matrices(document: Any) -> list[Any]:
    if not isinstance(document, dict):
        return []
    if "matrix" in document:
        return [document["matrix"]]
    below = [document.get("strategy"), *(document["jobs"].values() if isinstance(document.get("jobs"), dict) else ())]
    return [matrix for part in below for matrix in _find_matrices(part)]


def import_qanat(document: Any) -> Imported:
    """``fixed_args``, and ``varying_args`` with ranges (slow) and groups (fast), as Qanat runs through them."""
    if not isinstance(document, dict) or not {"fixed_args", "varying_args"} & set(document):
        return Imported({}, [], ["it has neither fixed_args nor varying_args: not a parameter file of Qanat"])
    faults: list[str] = []
    converted: dict[str, Any] = {"$style": "space", **_convert_arguments(document.get("fixed_args") or {})}
    varying = document.get("varying_args") or {}
    ranges = _convert_arguments(varying.get("range") or {})
    for name, limits in reversed(list(ranges.items())):  # the first of Qanat's is the fastest
        converted[name] = {"$range": limits.get("$value") if isinstance(limits, dict) else limits}
    if groups := varying.get("groups") or []:
        converted["group"] = [_convert_arguments(group) for group in groups]
    for group in converted.get("group", []):
        faults += [f"varying_args.groups: {name} is in fixed_args, too" for name in group if name in converted]
    points = [*converted, *(name for group in converted.get("group", [])[:1] for name in group)]
    placed = sorted((name for name in points if name.startswith("pos_")), key=lambda name: int(name[4:]))
    notes = [" ".join(["neusweep neurun", RUN, "COMMAND", *(f"{{{name}}}" for name in placed)])]
    notes.append("Qanat adds --storage_path DIR: write it as --storage_path {run_dir}")
    return Imported(converted, notes, faults)


def _convert_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their names; positional ones as pos_0, pos_1, to be placed in the command."""
    options = {
        name: True if value == "" else _plain_value(value) for name, value in (arguments.get("options") or {}).items()
    }
    positional = {f"pos_{place}": _plain_value(value) for place, value in (arguments.get("positional") or {}).items()}
    return {**options, **positional}


def import_remote(document: Any) -> Imported:
    """``dimensions`` of RemoteExperiments, each a tuple of names with tuples of values, over ``base_config``."""
    dimensions = document.get("dimensions") if isinstance(document, dict) else None
    if not isinstance(dimensions, dict):
        return Imported({}, [], ["it has no dimensions: not a sweep of RemoteExperiments"])
    named = [(names.split(",") if isinstance(names, str) else list(names), rows) for names, rows in dimensions.items()]
    swept = {name for names, _ in named for name in names}
    base = document.get("base_config") or {}
    converted = {name: _plain_value(value) for name, value in base.items() if name not in swept}
    for names, rows in named:
        several = [list(row) if isinstance(row, (list, tuple)) else [row] for row in rows]
        plain = [[_plain_value(value) for value in row] for row in several]
        converted[",".join(names)] = plain if len(names) > 1 else [row[0] for row in plain]
    return Imported(converted, [f"neusweep neurun {RUN} COMMAND"], [])


def read_value(text: str) -> Any:
    """A number where it is written as JSON has it, with its text; else a text."""
    match = _NUMBER.fullmatch(text)
    return text if not match else parse_float(text) if match.group(1) or match.group(2) else parse_integer(text)


_NO_COMMAS = {";": "put commas between names, and between values", "\t": "for a table with tabs write neuimport tsv"}


def import_table(text: str, delimiter: str) -> Imported:
    """A row with names, then a row for each point; an empty field is a parameter that the point has not."""
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    if len(rows) < 2:
        return Imported({}, [], ["a row with names, and one for each point below it, are expected"])
    names, *points = rows
    if len(names) == 1 and (mend := next((mend for sign, mend in _NO_COMMAS.items() if sign in names[0]), None)):
        return Imported({}, [], [f"row 1: one name, {names[0]!r}; {mend}"])
    faults = [
        f"row {place}: {len(row)} field{'s' * (len(row) != 1)} for {len(names)} name{'s' * (len(names) != 1)}"
        for place, row in enumerate(points, 2)
        if len(row) != len(names)
    ]
    if faults:
        return Imported({}, [], faults)
    values = [[read_value(field) for field in row] for row in points]
    command = [f"neusweep neurun {RUN} COMMAND"]
    if all(all(row) for row in points) and not any("," in name for name in names):
        column = [row[0] for row in values]
        return Imported({",".join(names): values if len(names) > 1 else column}, command, [])
    included = [
        {name: value for name, value, field in zip(names, row, fields) if field} for row, fields in zip(values, points)
    ]
    return Imported({"$include": included}, command, [])
