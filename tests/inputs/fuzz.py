"""Random files of each format, random values put into them, and what independent readers then find there.

python3 -m tests.inputs.fuzz [COUNT [SEED]] does it for all formats, also with PyYAML and f90nml, which it demands.
"""

from __future__ import annotations

import configparser
import csv
import importlib
import json
import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from neuromanager.inputs.template import Faults, Template
from neuromanager.system.jsonvalues import Value, parse_float, parse_integer

# What makes trouble in one format or another.
LETTERS = "abcXYZ019 _-.,:;#!/\\'\"=&%$*[]{}()<>|~@é\u2028"
WORDS = (
    "yes",
    "no",
    "null",
    "true",
    "5",
    "1e5",
    "",
    "~",
    "- a",
    "a: b",
    "x # y",
    "@a",
    "2020-01-01",
    "0x1F",
    "on",
    "=",
)
Flat = dict[tuple[str, ...], Any]


def make_text(chance: random.Random, simple: bool = False) -> str:
    if simple:
        return "".join(chance.choice("abcXYZ019_./") for _ in range(chance.randint(1, 9)))
    if chance.random() < 0.3:
        return chance.choice(WORDS)
    return "".join(chance.choice(LETTERS) for _ in range(chance.randint(0, 12)))


def make_number(chance: random.Random) -> str:
    return chance.choice(
        (
            str(chance.randint(-9, 99)),
            repr(round(chance.uniform(-10, 10), 3)),
            f"{chance.randint(1, 9)}e-{chance.randint(1, 5)}",
            f"{chance.randint(1, 9)}.5E+{chance.randint(1, 3)}",
            "0",
        )
    )


def number_of(text: str) -> Value:
    return parse_integer(text) if text.lstrip("-").isdigit() else parse_float(text)


def make_value(chance: random.Random, old: Any, simple: bool = False) -> Value:
    """Another one of the kind that a reader found."""
    if isinstance(old, bool):
        return chance.random() < 0.5
    if isinstance(old, (int, float)):
        return number_of(make_number(chance))
    if isinstance(old, list):
        return [number_of(make_number(chance)) for _ in range(chance.randint(1, 3))]
    return make_text(chance, simple)


def make_tree(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth < 3 and (depth == 0 or kind < 0.3):
        names = {make_name(chance) for _ in range(chance.randint(1, 4))}
        return {name: make_tree(chance, depth + 1) for name in sorted(names)}
    if depth < 3 and kind < 0.4:
        return [make_tree(chance, depth + 1) for _ in range(chance.randint(1, 3))]
    return chance.choice((make_text(chance), number_of(make_number(chance)), chance.random() < 0.5))


def make_name(chance: random.Random) -> str:
    return chance.choice("abcdefgh") + "".join(chance.choice("abz_09-") for _ in range(chance.randint(0, 5)))


def flatten(value: Any, path: tuple[str, ...] = ()) -> Flat:
    """Scalars by their paths."""
    if isinstance(value, dict):
        return {key: each for name, item in value.items() for key, each in flatten(item, (*path, str(name))).items()}
    if isinstance(value, list):
        return {
            key: each for place, item in enumerate(value) for key, each in flatten(item, (*path, str(place))).items()
        }
    return {path: value}


# For each format: a random text, and a reader that is not ours.


def write_json(chance: random.Random) -> str:
    plain = json.loads(json.dumps(make_tree(chance), default=str))
    return json.dumps(plain, indent=chance.choice((None, 1, 4)), ensure_ascii=chance.random() < 0.5)


def write_ini(chance: random.Random) -> str:
    lines = []
    for section in sorted({make_name(chance) for _ in range(3)}):
        lines.append(f"[{section}]")
        for name in sorted({make_name(chance) for _ in range(3)}):
            space = chance.choice(("", " ", "  "))
            value = chance.choice((make_number(chance), make_text(chance, simple=True), "yes", "'a b'"))
            lines.append(
                f"{name}{space}{chance.choice('=:')}{space}{value}" + chance.choice(("", " ; note", " # a = 1"))
            )
            lines += chance.choice(([], ["; note = 1", ""]))
    return "\n".join(lines) + "\n"


def read_ini(text: str) -> Flat:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {(section, name): value for section in parser.sections() for name, value in parser.items(section)}


def write_toml(chance: random.Random) -> str:
    lines = []
    for number, table in enumerate(["", *sorted({"T" + make_name(chance) for _ in range(3)})]):
        if number:
            lines.append(chance.choice((f"[{table}]", f"[{table}.x]  # note", f"[[{table}]]")))
        for name in sorted({make_name(chance) for _ in range(3)}):
            kinds = (
                make_number(chance).replace("E", "e"),
                json.dumps(make_text(chance)),
                "true",
                "'a#b'",
                "[1, 2.5] # c",
            )
            lines.append(f"{name} = {chance.choice(kinds)}" + chance.choice(("", "  # it's a = 1")))
    return "\n".join(lines) + "\n"


def read_toml(text: str) -> Flat:
    found: dict[str, Any] = importlib.import_module("tomllib").loads(text)
    return flatten_lists(found)


def flatten_lists(value: Any, path: tuple[str, ...] = ()) -> Flat:
    """As ``flatten``, a list of scalars being one value."""
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {path: value}
    return {key: each for name, item in items for key, each in flatten_lists(item, (*path, str(name))).items()}


def write_env(chance: random.Random) -> str:
    lines = []
    for name in sorted({make_name(chance).upper().replace("-", "_") for _ in range(5)}):
        value = chance.choice((make_number(chance), "'a # b'", '"c d"', make_text(chance, simple=True), ""))
        lines.append(chance.choice(("", "export ")) + f"{name}={value}" + chance.choice(("", "  # A=1")))
    return "\n".join(lines) + "\n"


def read_env(text: str) -> Flat:
    """By bash, for all names that stand before a =."""
    names = re.findall(r"(?m)^(?:export )?(\w+)=", text)
    show = "\n".join(f'printf "%s\\0" "${{{name}-}}"' for name in names)
    said = subprocess.run(["bash", "-c", f"{text}\n{show}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    return dict(zip(((name,) for name in names), said.stdout.decode().split("\0")))


def write_header(chance: random.Random) -> str:
    lines = ["#ifndef GUARD", "#define GUARD"]
    for name in sorted({"N" + make_name(chance).upper().replace("-", "_") for _ in range(4)}):
        value = chance.choice((make_number(chance), '"a b"', "OTHER"))
        lines.append(f"#define {name} {value}" + chance.choice(("", " // N 1", " /* x */")))
    return "\n".join([*lines, "#endif"]) + "\n"


_C_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


def read_header(text: str) -> Flat:
    """By the compiler's preprocessor."""
    said = subprocess.run(["cpp", "-P", "-dM", "-undef", "-"], input=text.encode(), capture_output=True, check=True)
    pairs = re.findall(r"(?m)^#define (N\w+) (.*)$", said.stdout.decode())
    return {(name,): json.loads(value) if _C_TEXT.fullmatch(value) else value for name, value in pairs}


def write_mdp(chance: random.Random) -> str:
    lines = ["; run = 1"]
    for name in sorted({make_name(chance) for _ in range(5)}):
        value = chance.choice((make_number(chance), make_text(chance, simple=True), "300 300"))
        lines.append(f"{name}{' ' * chance.randint(0, 9)}= {value}" + chance.choice(("", " ; x = 2")))
    return "\n".join(lines) + "\n"


def read_mdp(text: str) -> Flat:
    rows = csv.reader((line.split(";")[0] for line in text.split("\n")), delimiter="=", quoting=csv.QUOTE_NONE)
    return {(row[0].strip(),): row[1].strip() for row in rows if len(row) == 2}


def write_lammps(chance: random.Random) -> str:
    lines = ["# variable x equal 1"]
    for name in sorted({make_name(chance).replace("-", "_") for _ in range(5)}):
        lines.append(f"variable {name} equal {make_number(chance)}" + chance.choice(("", " # note")))
    return "\n".join([*lines, "run 1000", "thermo 10"]) + "\n"


def read_lammps(text: str) -> Flat:
    rows = [shlex.split(line, comments=True) for line in text.split("\n")]
    return {(row[-3] if row[0] == "variable" else row[0],): row[-1] for row in rows if row}


def write_yaml(chance: random.Random) -> str:
    yaml = importlib.import_module("yaml")
    tree = json.loads(json.dumps(make_tree(chance), default=str))
    flow = None if chance.random() < 0.2 else False  # the innermost in brackets, or nothing
    text: str = yaml.safe_dump(
        tree, default_flow_style=flow, allow_unicode=True, width=10**6, indent=chance.choice((2, 4))
    )
    notes = (line + chance.choice(("", "  # it's: a")) if line[-1:].isalnum() else line for line in text.split("\n"))
    return "\n".join(notes)


def read_yaml(text: str) -> Flat:
    return flatten(importlib.import_module("yaml").safe_load(text))


def write_namelist(chance: random.Random) -> str:
    lines = ["! top = 1"]
    for group in sorted({make_name(chance).replace("-", "_") for _ in range(2)}):
        lines.append(f"&{group}")
        for name in sorted({make_name(chance).replace("-", "_") for _ in range(4)}):
            value = chance.choice((make_number(chance), "'a''b'", '"c ! d"', ".true.", ".FALSE.", "1.5d0", "1, 2, 3"))
            lines.append(f"  {name} = {value}" + chance.choice(("", ",", " ! x = 1", ", ! it's")))
        lines.append("/")
    return "\n".join(lines) + "\n"


def read_namelist(text: str) -> Flat:
    f90nml = importlib.import_module("f90nml")
    found = f90nml.Parser().reads(text).todict()
    return {
        (group, name): value
        for group, names in found.items()
        if group != "_start_index"
        for name, value in names.items()
        if name != "_start_index"
    }


def write_template(chance: random.Random) -> str:
    parts = (make_text(chance), "{a}", "{b.c}", "{", "}", "{{a}}", "{A B}", "\n")
    return "{a}" + "".join(chance.choice(parts) for _ in range(12))


def try_template(chance: random.Random) -> str:
    """What replaces a text everywhere is a reader, too."""
    text, value = write_template(chance), make_text(chance)
    key = chance.choice(("a", "b.c"))
    try:
        result = Template(text, "template", [key]).fill({key: value})
    except Faults as faults:
        return f"refused: {faults.faults}" if f"{{{key}}}" not in text else f"WRONG {key}: {faults.faults}\n{text}"
    return "" if result == text.replace(f"{{{key}}}", value) else f"WRONG {key}={value!r}\n{text}\n---\n{result}"


Reader = Callable[[str], Flat]
READERS: Mapping[str, tuple[Callable[[random.Random], str], Reader]] = {
    "json": (write_json, lambda text: flatten(json.loads(text))),
    "ini": (write_ini, read_ini),
    "toml": (write_toml, read_toml),
    "env": (write_env, read_env),
    "header": (write_header, read_header),
    "mdp": (write_mdp, read_mdp),
    "lammps": (write_lammps, read_lammps),
    "yaml": (write_yaml, read_yaml),
    "namelist": (write_namelist, read_namelist),
}
NUMBERS_AS_TEXT = frozenset(("ini", "env", "header", "mdp", "lammps"))  # their readers know texts alone


def is_same(form: str, found: Any, meant: Value, old: Any) -> bool:
    if form in NUMBERS_AS_TEXT and not isinstance(meant, str):
        texts = ("yes", "true", "1") if meant is True else ("no", "false", "0") if meant is False else None
        return found in texts if texts else str(found).strip("'\"") == str(getattr(meant, "text", meant))
    if form == "ini" and isinstance(meant, str):
        return bool(str(found) == meant or (len(str(found)) > 1 and found[0] in "'\"" and str(found)[1:-1] == meant))
    if form == "header":  # the preprocessor prints words of C, and blanks as it likes
        return re.sub(r"\s", "", str(found)) == re.sub(r"\s", "", str(meant))
    if isinstance(meant, list) and isinstance(found, (int, float)):
        return len(meant) == 1 and float(found) == float(meant[0])  # a list of one, for a reader of namelists
    if isinstance(meant, bool) or isinstance(found, bool):
        return found is bool(meant)
    if isinstance(meant, (int, float)) and isinstance(found, (int, float)):
        return float(found) == float(meant)
    return bool(found == meant)


def try_one(form: str, chance: random.Random) -> str:
    """ "" if all is right or the value was refused; else what is wrong."""
    if form == "template":
        return try_template(chance)
    write, read = READERS[form]
    text = write(chance)
    before = read(text)
    path = chance.choice(sorted(before)) if before else None
    if path is None or any("." in name for name in path):
        return "refused"
    key, old = ".".join(path), before[path]
    if form in NUMBERS_AS_TEXT:
        number = re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", str(old))
        old = 1.0 if number else True if old == "yes" else old
    value = make_value(chance, old, simple=form in ("mdp", "lammps"))
    try:
        template = Template(text, form, [key])
        result = template.fill({key: value})
    except Faults as faults:
        return f"refused: {faults.faults}"
    try:
        after = read(result)
    except (ValueError, subprocess.CalledProcessError) as error:
        return f"WRONG {key}={value!r}: {error}\n--- to\n{result}"
    expected = {**before, path: value}
    wrong = [
        each
        for each in {*expected, *after}
        if not (
            is_same(form, after.get(each), value, old)
            if each == path
            else each in after and each in expected and (after[each] == expected[each] or after[each] != after[each])
        )
    ]
    return f"WRONG {key}={value!r}: {wrong}\n--- from\n{text}\n--- to\n{result}" if wrong else ""


def fuzz(form: str, count: int, seed: int) -> tuple[int, list[str], list[str]]:
    """How many were set, what was refused, and what was wrong."""
    chance, done, refused, wrong = random.Random(f"{form} {seed}"), 0, list[str](), list[str]()
    for _ in range(count):
        said = try_one(form, chance)
        if not said:
            done += 1
        elif said.startswith("refused"):
            refused.append(said)
        else:
            wrong.append(said)
    return done, refused, wrong


def main(count: int, seed: int) -> int:
    failed = False
    for form in (*READERS, "template"):
        done, refused, wrong = fuzz(form, count, seed)
        print(f"{form:9} seed {seed}: {done} set, {len(refused)} refused, {len(wrong)} wrong")
        for text in wrong[:3]:
            print(text)
        failed = failed or bool(wrong)
        if os.environ.get("SHOW_REFUSED"):
            print("\n".join(sorted(set(refused))[:20]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, int(sys.argv[2]) if len(sys.argv) > 2 else 1))
