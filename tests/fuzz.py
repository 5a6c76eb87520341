"""Random option lines and damaged documents over all commands: python3 -m tests.fuzz [COUNT [SEED]], or `make fuzz`.

A try is one command in a copy of a small project. It must end by itself in time, with a code of CONTRIBUTING's table,
without a traceback; and a refusal (100) leaves the folder as it was. Each try is a fork of this process, in which all
is imported already: some hundred a second. It prints what failed, with the seed that repeats it alone.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from neuromanager import start
from neuromanager.system.faults import BUG
from neuromanager.terminal.options import Option
from tests.command import ROOT

COMMANDS = tuple(sorted(path.name for path in (ROOT / "bin").iterdir()))
SECONDS = 20  # for one try
# They show a screen until they are stopped.
_ENDLESS = {"--watch", "-w", "--follow", "-f"}
_SHOWN = {"--help", "--version"}
_CODES = {0, 1, 100, 111, 123, 126, 127}
# What a command line may start; nothing else is on PATH.
_PROGRAMS = ("true", "false", "echo", "cat", "env", "bash", "sh", "git")
_WORDS = (
    *("0", "1", "-1", "2", "7", "007", "1e3", "1e999", "nan", "inf", "999999999999999999999", "0x10", "1.5", "x2", "٣"),
    *("", " ", "-", "--", "---", "=", "==", "a=b", "=b", "a=", ":", ",", "a,b", ",,", "0-9", "3-1", "0-999999999999"),
    *("t", "t:0", "t:0-1", "t:9", "t:", "t:0,0", "u", "nothing", ".", "..", "/", "/dev/null", "/dev/zero", "runs/t"),
    *("runs/t/t_0", "config.json", "params.json", "no.json", "*", "?", "[", "{", "}", "{lr}", "{{lr}}", "{no}", "$x"),
    *("local", "slurm", "htcondor", "cpu", "gpu", "COMPLETED", "failed", "PENDING,RUNNING", "TERM", "SIGKILL", "99"),
    *("10m", "1h30m", "0:01", "2-00", "12:00:00", "1-", "now,fail=10%", "soon", "mem=x2", "time=1", "gres=gpu:1", "-r"),
    *("lr=1,2", "lr=[1,2]", "lr={", 'lr={"$range": [0, 3]}', "step", "loss", "max:loss", "loss<1", "run", "é", "日本"),
    *("\x1b[31m", "\x9d", "\n", "\t", "\u202e", "\udcff", "a" * 300, "a b", "it's", '"', "\\", "true", "null", "[]"),
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    "",
    "a",
    "lr",
    "$range",
    [],
    {},
    [1, 2],
    [[]],
    [1, 1],
    {"a": 1},
    "é",
)
_KEYS = ("$range", "$linspace", "$geomspace", "$uniform", "$loguniform", "$randint", "$files", "$lines", "$value")
_MORE_KEYS = ("$words", "$include", "$exclude", "lr", "a", "", "env", "resources", "wrap", "variables", "local", "host")
_PARAMS: Any = {"lr": [0.1, 0.01], "opt": {"adam": {}, "sgd": {"momentum": [0, 0.9]}}, "n": {"$range": [0, 3]}, "k": 3}
_RECORDS = ("jobs.jsonl", "experiment.json")
_CONFIG: Any = {
    "local": {"cpu": {"env": ["A=1"], "resources": {"time": "10"}, "wrap": [], "variables": {"B": "2"}}},
    "slurm": {"cpu": {"resources": {"time": "10", "mem": "1G", "gres": "gpu:1"}, "max_runs": 100}},
    "htcondor": {"cpu": {"resources": {"request_memory": "1G"}}},
}


class Try(NamedTuple):
    command: str
    words: list[str]
    stdin: bytes
    changes: dict[str, bytes]  # file -> what stands in it, instead
    environ: dict[str, str]


class Outcome(NamedTuple):
    code: int | None  # None: it did not end in time; negative: the signal
    out: bytes
    err: bytes


def make_try(seed: str) -> Try:
    pick = random.Random(seed)
    command = pick.choice(COMMANDS)
    parser = start._find_parser(command)
    assert parser
    words: list[str] = []
    for _ in range(pick.choice((0, 0, 1, 1, 2, 3, 5))):
        option = pick.choice(parser.options)
        if not set(option.spelled) & (_ENDLESS if pick.random() < 0.1 else _ENDLESS | _SHOWN):
            words += _spell(pick, option)
    if command == "neuwait":
        words.append("--timeout=0:01")
    if command == "neurun" and pick.random() < 0.7:
        words += [pick.choice(("local", "slurm", "htcondor", "none")), pick.choice(("cpu", "gpu"))]
    if command in ("neurun", "neuin", "neusweep") and pick.random() < 0.7:
        words.append(pick.choice(("true", "false", "echo", "-", "neurun" if command == "neusweep" else "env")))
    words += [pick.choice(_WORDS) for _ in range(pick.choice((0, 0, 1, 1, 2, 4)))]
    stdin = pick.choice((b"", b"true\n", b"echo {lr}\n", b"a 'b\n", b"\0\xff\n", pick.randbytes(20)))
    return Try(command, words, stdin, dict(_damage(pick)), dict(_surround(pick)))


def _spell(pick: random.Random, option: Option) -> list[str]:
    word = pick.choice(option.spelled)
    if not option.takes_value:
        return [word]
    value = pick.choice((*option.choices, *_WORDS)) if option.choices else pick.choice(_WORDS)
    if word.startswith("--") and pick.random() < 0.5:
        return [f"{word}={value}"]
    return [word, value]


def _damage(pick: random.Random) -> Iterator[tuple[str, bytes]]:
    if pick.random() < 0.4:
        yield "params.json", _spoil(pick, _PARAMS)
    if pick.random() < 0.3:
        yield "config.json", _spoil(pick, _CONFIG)
    of = pick.choice("tu")
    for name in (*_RECORDS, "commands.txt", f"{of}_0/events.txt", "settled.json", "params.txt"):
        if pick.random() < 0.15:
            harm = _spoil_lines if name in _RECORDS and pick.random() < 0.6 else _break_bytes
            yield f"runs/{of}/{name}", harm(pick, (_TEMPLATE / f"runs/{of}/{name}").read_bytes())


def _surround(pick: random.Random) -> Iterator[tuple[str, str]]:
    for name in ("NEU_POINT", "NEU_POINTS", "NEU_CONFIG", "NEU_RETRY_SECONDS", "NEU_QUIET", "COLUMNS", "SLURM_CONF"):
        if pick.random() < 0.03:
            yield name, pick.choice([word for word in _WORDS if word not in ("/dev/zero", "\x00")])


def _spoil(pick: random.Random, document: Any) -> bytes:
    value = json.loads(json.dumps(document))
    for _ in range(pick.choice((1, 1, 2, 4))):
        value = _change(pick, value)
    text = json.dumps(value).encode()
    return _break_bytes(pick, text) if pick.random() < 0.3 else text


def _spoil_lines(pick: random.Random, data: bytes) -> bytes:
    """JSON it remains, of another shape than what wrote it."""
    values = [json.loads(line) for line in data.decode().splitlines()] if data.count(b"\n") < 5 else [json.loads(data)]
    place = pick.randrange(len(values))
    values[place] = _change(pick, values[place])
    return "".join(f"{json.dumps(value)}\n" for value in values).encode()


def _change(pick: random.Random, value: Any) -> Any:
    """Something in it becomes something else, is added, or is gone."""
    if isinstance(value, dict) and value and pick.random() < 0.8:
        name = pick.choice(sorted(value))
        if pick.random() < 0.1:
            return {key: kept for key, kept in value.items() if key != name}
        changed = {**value, name: _change(pick, value[name])}
        if pick.random() < 0.3:
            changed[pick.choice((*_KEYS, *_MORE_KEYS))] = _invent(pick, 2)
        return changed
    if isinstance(value, list) and value and pick.random() < 0.7:
        place = pick.randrange(len(value))
        return [*value[:place], _change(pick, value[place]), *value[place + 1 :]]
    return _invent(pick, 3)


def _invent(pick: random.Random, depth: int) -> Any:
    kind = pick.random()
    if depth and kind < 0.25:
        return [_invent(pick, depth - 1) for _ in range(pick.randrange(4))]
    if depth and kind < 0.5:
        names = (pick.choice((*_KEYS, *_MORE_KEYS)) for _ in range(pick.randrange(3)))
        return {name: _invent(pick, depth - 1) for name in names}
    return pick.choice(_VALUES)


def _break_bytes(pick: random.Random, data: bytes) -> bytes:
    place = pick.randrange(len(data) + 1)
    return pick.choice(
        (
            data[:place],
            data[:place] + pick.randbytes(3) + data[place:],
            data[:place] + data[place + pick.randrange(20) :],
            data + data[place:],
            b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
            b"",
            b"[" * 5000,
        )
    )


_TEMPLATE = Path()


def make_template(folder: Path) -> None:
    """A project with two experiments, one of them of failures."""
    global _TEMPLATE
    _TEMPLATE = folder / "template"
    _TEMPLATE.mkdir()
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name in _PROGRAMS:
        if found := shutil.which(name):
            (bin_folder / name).symlink_to(found)
    for name in COMMANDS:  # each is what this process is
        (bin_folder / name).symlink_to(ROOT / "bin" / name)
    (bin_folder / "python3").symlink_to(os.path.realpath(sys.executable))
    (_TEMPLATE / "config.json").write_text(json.dumps(_CONFIG))
    (_TEMPLATE / "params.json").write_text(json.dumps(_PARAMS))
    for words in (
        ("neurun", "--runs=2", "--name=t", "local", "cpu", "bash", "-c", "echo loss=0.5 step=$NEU_INDEX"),
        ("neusweep", "-s", "lr=1,2", "neurun", "--name=u", "local", "cpu", "false"),
        ("neustat", "t", "u"),
    ):
        done = run_try(Try(words[0], list(words[1:]), b"", {}, {}), folder, _TEMPLATE)
        assert done.code in (0, 123), done
    (_TEMPLATE / "runs/t/params.txt").write_text('{"lr": 1}\n{"lr": 2}\n')
    assert all((_TEMPLATE / f"runs/{name}/settled.json").exists() for name in "tu")


def run_try(each: Try, folder: Path, place: Path) -> Outcome:
    paths = [folder / name for name in ("in", "out", "err")]
    paths[0].write_bytes(each.stdin)
    child = os.fork()
    if child == 0:
        _become(each, folder, place, paths)
    deadline = time.monotonic() + SECONDS
    status = os.waitpid(child, os.WNOHANG)
    pause = 0.001
    while status[0] == 0 and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.3, 0.02)
        status = os.waitpid(child, os.WNOHANG)
    code = None
    if status[0] == 0:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    else:
        code = os.waitstatus_to_exitcode(status[1])
    return Outcome(code, paths[1].read_bytes(), paths[2].read_bytes())


def _become(each: Try, folder: Path, place: Path, paths: list[Path]) -> None:
    """In the child: the command itself, which ends the process."""
    try:
        os.setsid()
        os.chdir(place)
        for number, path in enumerate(paths):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags, 0o600), number)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, 50_000_000))
        os.environ.clear()
        home = {name: str(folder / "home" / name) for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")}
        own = {"PATH": str(folder / "bin"), "LC_ALL": "C.UTF-8", "TMPDIR": str(folder), "NEU_RETRY_SECONDS": "0"}
        os.environ.update({**home, **own, **each.environ})
        sys.argv = [f"/nowhere/{each.command}", *each.words]
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        getattr(start, each.command)()
    finally:
        os._exit(99)


def _tree(place: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(place)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(place.rglob("*"))
        if path.name not in ("settled.json", "lock", ".lock") and ".code" not in path.parts  # neusnap's store
    }


def judge(each: Try, folder: Path) -> str | None:
    """What is wrong with it; None for nothing."""
    place = Path(tempfile.mkdtemp(prefix="it's ", dir=folder))  # a new one: with --detach runs outlive their command
    shutil.copytree(_TEMPLATE, place, symlinks=True, dirs_exist_ok=True)
    for name, content in each.changes.items():
        (place / name).write_bytes(content)
    before = set(_tree(place))
    done = run_try(each, folder, place)
    wrong = complain(each, done, set(_tree(place)) - before)
    shutil.rmtree(place, ignore_errors=True)
    return wrong


def complain(each: Try, done: Outcome, left: set[str]) -> str | None:
    """``left``: what was not in its folder before."""
    said = (done.err + done.out).decode("utf-8", "replace")
    if "Traceback" in said or done.code == BUG:
        return f"a traceback: {said.strip().splitlines()[-2:]}"
    if done.code is None:
        return f"no end within {SECONDS} s: {said[-200:]!r}"
    if done.code == 100 and left:
        return f"refused, and left {sorted(left)[:5]}: {said[-200:]!r}"
    if _passes_on(each):
        return None
    if done.code not in _CODES:
        return f"exit code {done.code}: {said[-200:]!r}"
    if any(byte < 32 and byte not in b"\n\t" for byte in done.err):
        return f"raw controls on stderr: {done.err[-200:]!r}"
    return None


def _passes_on(each: Try) -> bool:
    """Whether its code and output may be those of another program."""
    return each.command in ("neurun", "neusweep", "neuattach", "neuin", "neurerun", "neulog", "neusnap")


def run(count: int, seed: str) -> list[str]:
    """The failures, each with what repeats it."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="neu-fuzz-") as name:
        folder = Path(name)
        make_template(folder)
        for number in range(count):
            each = make_try(seed if "." in seed else f"{seed}.{number}")
            wrong = judge(each, folder)
            if wrong:
                told = (each.command, each.words, each.changes, each.environ)
                failures.append(f"{seed}.{number}: {wrong}; {told!r}")
                print(failures[-1][:2000], flush=True)
    return failures


def main(words: list[str]) -> int:
    count, seed = int(words[0]) if words else 20_000, words[1] if len(words) > 1 else str(time.time_ns())
    began = time.monotonic()
    failures = run(count, seed)
    print(f"{count} tries with the seed {seed}: {len(failures)} failed, {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
