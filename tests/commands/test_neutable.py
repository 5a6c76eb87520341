"""neutable on what programs of many kinds leave, and its page in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import unittest

import jsonschema

from tests.command import ROOT, Folder, Outcome
from tests.results.test_formats import event, simple

SCHEMA = json.loads((ROOT / "neuromanager/schemas/results.schema.json").read_text(encoding="utf-8"))
# One program; each word is a way to leave results. The loss is 1/(lr x epoch), the accuracy lr x epoch / 100.
PROGRAM = r"""#!/usr/bin/env python3
import json, os, sys
lr = float(next(word for word in sys.argv if word.startswith("--lr=")).split("=")[1])
folder = os.environ["NEU_RUN_DIR"]
def put(name, text):
    with open(os.path.join(folder, name), "a") as file:
        file.write(text)
curve = [(epoch, 1 / (lr * epoch), lr * epoch / 100) for epoch in (1, 2, 4)]
for epoch, loss, acc in curve:
    {"result": lambda: None,
     "nested": lambda: None,
     "jsonl": lambda: put("metrics.jsonl", json.dumps({"step": epoch, "loss": loss, "val/acc": acc}) + "\n"),
     "csv": lambda: put("metrics.csv", "epoch,loss,acc\n" * (epoch == 1) + f"{epoch},{loss!r},\n{epoch},,{acc!r}\n"),
     "key": lambda: print(f"epoch={epoch} loss={loss} acc: {acc}"),
     "spaced": lambda: print(f"step {epoch} loss {loss} acc {acc}"),
     "splits": lambda: print(f"epoch {epoch}: train loss {loss}, val loss {2 * loss}"),
     "dict": lambda: print({"loss": loss, "acc": acc, "epoch": epoch}),
     "keras": lambda: print(f"\r1/2 [=>..] - loss: 9.0\r2/2 [====] - 1s 2ms/step - loss: {loss} - acc: {acc}"),
     "tqdm": lambda: sys.stderr.write(f"\rtrain: 100%|#| {epoch}/4 [00:00<00:00, 9.9it/s, loss={loss}, acc={acc}]\n"),
     "sim": lambda: print(f"ITER= {epoch} RESIDUAL= " + f"{loss:.4E}".replace("E", "D")),
     "free": lambda: print(f"<<{loss} seconds>>"),
    }[sys.argv[1]]()
if sys.argv[1] == "result":
    put("result.json", json.dumps({"loss": loss, "acc": acc}))
if sys.argv[1] == "nested":
    put("result.json", json.dumps({"args": {"lr": lr}, "test": {"acc": acc, "each": [1, 2]}, "ok": True}))
"""
LAST = {1.0: ("0.25", "0.04"), 2.0: ("0.125", "0.08")}
GOLDEN: dict[str, tuple[str, list[str]]] = {  # way -> where results come from, and the header behind run and lr
    "result": ("result.json", ["loss", "acc"]),
    "jsonl": ("metrics.jsonl", ["loss", "val/acc"]),
    "csv": ("metrics.csv", ["loss", "acc"]),
    "key": ("stdout and stderr", ["loss", "acc"]),
    "spaced": ("stdout and stderr", ["loss", "acc"]),
    "dict": ("stdout and stderr", ["loss", "acc"]),
    "keras": ("stdout and stderr", ["loss", "acc"]),
    "tqdm": ("stdout and stderr", ["train/loss", "train/acc"]),
}


class NeutableTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, params={"lr": [1.0, 2.0]})
        self.folder.program("program", PROGRAM)

    def sweep(self, way: str, *words: str) -> None:
        done = self.folder.run("neusweep", "neurun", f"--name={way}", *words, "local", "cpu", "./program", way)
        self.assertEqual(done.code, 0, done.stderr)

    def table(self, *words: str, stdin: bytes = b"") -> list[list[str]]:
        done = self.folder.run("neutable", "--tsv", *words, stdin=stdin)
        self.assertEqual(done.code, 0, done.stderr)
        return [line.split("\t") for line in done.lines()]

    def test_no_results(self) -> None:
        self.folder.run("neurun", "--name=x", "local", "cpu", "true")
        for words, said in ((["x"], "no results: print lines as"), (["-f", "a.csv", "x"], "no results in a.csv")):
            self.assertIn(f"neutable: {said}", self.folder.run("neutable", *words).stderr)

    def test_each_way_to_leave_results(self) -> None:
        for way, (source, names) in GOLDEN.items():
            self.sweep(way)
            done = self.folder.run("neutable", "--tsv", way)
            self.assertEqual(done.errors(), [f"neutable: results from {source}"], way)
            rows = [line.split("\t") for line in done.lines()]
            expected = [[f"{way}:{n}", str(lr), *LAST[lr]] for n, lr in enumerate((1.0, 2.0))]
            self.assertEqual(rows, [["run", "lr", *names], *expected], way)

    def test_splits_nested_values_and_fortran(self) -> None:
        self.sweep("splits")
        self.assertEqual(
            self.table("splits")[:2], [["run", "lr", "train/loss", "val/loss"], ["splits:0", "1.0", "0.25", "0.5"]]
        )
        self.sweep("nested")
        self.assertEqual(self.table("nested")[1], ["nested:0", "1.0", "1.0", "0.04", "true"])
        self.sweep("sim")
        self.assertEqual([row[-1] for row in self.table("sim")], ["RESIDUAL", "0.25", "0.125"])

    def test_templates(self) -> None:
        self.sweep("free")
        for words in (("-e", "<<{time} seconds>>"), ("-E", "<<(?P<time>[0-9.]+) s")):
            self.assertEqual([row[-1] for row in self.table(*words, "free")], ["time", "0.25", "0.125"])

    def test_event_files(self) -> None:
        self.sweep("result")
        for number in (0, 1):
            folder = f"runs/result/result_{number}"
            os.unlink(self.folder.path / folder / "result.json")
            data = event(1, simple("loss", 0.5)) + event(2, simple("loss", 0.25 + number)) + b"\x08\0\0\0"
            self.folder.write(f"{folder}/tb/events.out.tfevents.1.host", data)
        done = self.folder.run("neutable", "--tsv", "result")
        self.assertEqual(done.errors(), ["neutable: results from TensorBoard event files"])
        self.assertEqual([line.split("\t")[-1] for line in done.lines()], ["loss", "0.25", "1.25"])

    def test_a_result_that_is_a_parameter_has_one_column(self) -> None:
        script = 'echo "{\\"lr\\": $1, \\"k\\": 3, \\"loss\\": $1}" > "$NEU_RUN_DIR/result.json"'
        sweep = ["neusweep", "-s", "lr=1,2", "-s", "k=3", "neurun", "--name=e", "local", "cpu", "bash", "-c", script]
        done = self.folder.run(*sweep, "x", "{lr}")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(self.table("-k", "lr,k,loss", "e")[0], ["run", "lr", "k", "loss"])
        self.assertEqual(self.table("--mean", "e")[0], ["lr", "k", "runs", "loss"])
        self.assertEqual(self.table("--by=lr", "e")[0], ["lr", "runs", "loss"])
        self.assertEqual(self.table("--steps", "e")[0], ["run", "lr", "k", "point", "loss"])
        self.folder.run("neusweep", "-s", "lr=1", "neurun", "--name=f", "local", "cpu", "bash", "-c", script, "x", "4")
        self.assertEqual(self.table("--mean", "f")[1:], [["1", "1/1", "4.0", "3.0", "4.0"]], "it says something else")

    def test_rows_may_be_chosen_by_what_is_not_shown(self) -> None:
        self.sweep("jsonl")
        for words in (("--where=acc<0.05",), ("--where", "val/acc<0.05", "--max=acc"), ("--min=acc", "--top=1")):
            self.assertEqual(
                self.table(*words, "-k", "loss", "jsonl"), [["run", "lr", "loss"], ["jsonl:0", "1.0", "0.25"]]
            )
        (line,) = self.folder.run("neutable", "--where=acc<0.05", "-k", "loss", "--json", "jsonl").lines()
        self.assertEqual(list(json.loads(line)["results"]), ["loss"])

    def test_columns_points_and_order(self) -> None:
        self.sweep("jsonl")
        self.assertEqual(
            self.table("-k", "max:loss,count:loss,val/*,run.exit_code", "--max", "acc", "--top=1", "jsonl"),
            [
                ["run", "lr", "max:loss", "count:loss", "val/acc", "run.exit_code"],
                ["jsonl:1", "2.0", "0.5", "3", "0.08", "0"],
            ],
        )
        self.assertEqual(
            [row[2:] for row in self.table("--at=min:val/acc", "jsonl")[1:]], [["1.0", "0.01"], ["0.5", "0.02"]]
        )
        self.assertEqual([row[2:] for row in self.table("--at=2", "jsonl")[1:]], [["0.5", "0.02"], ["0.25", "0.04"]])
        steps = self.table("--steps", "--points=2", "-k", "loss", "--where", "lr=2", "jsonl")
        self.assertEqual([row[2:] for row in steps], [["step", "loss"], ["1", "0.5"], ["4", "0.125"]])

    def test_means_of_completed_repeats(self) -> None:
        self.folder.program("half", '#!/bin/bash\necho "loss=$NEU_REPEAT.5 acc=1"\n[ "$NEU_INDEX" != 3 ]\n')
        self.folder.run("neusweep", "neurun", "--name=half", "--runs=2", "local", "cpu", "./half")
        rows = self.table("half")
        self.assertEqual(rows[4], ["half:3", "FAILED", "2.0", "1.5", "1"])
        mean = self.table("--mean", "--error=minmax", "-k", "loss", "half")
        self.assertEqual(mean[0], ["state", "lr", "runs", "loss", "loss.min", "loss.max"])
        self.assertEqual(
            [row[1:] for row in mean[1:]], [["1.0", "2/2", "1.0", "0.5", "1.5"], ["2.0", "1/2", "0.5", "0.5", "0.5"]]
        )
        self.assertEqual(self.folder.run("neutable", "--check", "half").code, 1)
        self.assertEqual(self.table("--over=lr", "-k", "loss", "half")[1][1], "3/4")

    def test_json_of_several_machines_merges(self) -> None:
        self.sweep("jsonl")
        lines = self.folder.run("neutable", "--json", "jsonl").out
        for line in lines.splitlines():
            jsonschema.validate(json.loads(line), SCHEMA)
        self.assertEqual(len(self.table("-", "--by=lr", stdin=lines * 2)), 3)
        self.assertEqual(self.table("-", stdin=lines)[1], ["jsonl:0", "1.0", "0.25", "0.04"])
        done = self.folder.run("neutable", "-", stdin=b"{}\n")
        self.assertEqual(done.code, 100)
        self.assertIn("line 1", done.stderr)

    def test_parameters_without_a_sweep_are_words(self) -> None:
        self.folder.run("neurun", "--name=w", "local", "cpu", "./program", "key", "--lr=1", "opt=sgd")
        self.assertEqual(
            self.table("w")[:2], [["run", "lr", "opt", "loss", "acc"], ["w:0", "1", "sgd", "0.25", "0.04"]]
        )

    def test_what_is_the_same_is_said_once(self) -> None:
        self.folder.write("params.json", {"lr": [1.0, 2.0], "opt": ["sgd"]})
        self.sweep("result")
        done = self.folder.run("neutable", "result")
        self.assertIn("neutable: the same in all rows: opt=sgd", done.errors())
        self.assertEqual(done.lines()[0].split(), ["run", "lr", "loss", "acc"])

    def test_only_an_attempt_s_own_part_of_the_log(self) -> None:
        self.folder.program(
            "twice",
            '#!/bin/bash\necho "loss=$NEU_ATTEMPT.5 acc=1"\n'
            'if [ "$NEU_ATTEMPT" = 1 ]; then echo "old=1 x=1"; exit 1; fi\n',
        )
        self.folder.run("neurun", "--name=t", "local", "cpu", "./twice")
        self.folder.run("neurerun", "t")
        self.assertEqual(self.table("t"), [["run", "loss", "acc"], ["t:0", "2.5", "1"]])

    def test_a_last_line_without_its_end(self) -> None:
        """Of a run that has not completed it may be half of one; a line of progress has its end in the next one."""
        text = "loss=0.5 acc=1\\nloss=0.4 acc=1\\rloss=0.2 acc=1"
        self.folder.program("printer", f'#!/bin/bash\nprintf "{text}"\nexit "$NEU_INDEX"\n')
        self.folder.run("neurun", "--runs=2", "--name=p", "local", "cpu", "./printer")
        for words in ((), ("-k", "last:loss")):
            rows = self.table("--tsv", *words, "p")
            self.assertEqual([row[rows[0].index("loss")] for row in rows[1:]], ["0.2", "0.4"], words)

    def test_numbers_beyond_the_largest(self) -> None:
        text = json.dumps({"whole": 10**400, "large": 1.7e308, "less": -1.7e308})
        self.folder.program("huge", f"#!/bin/bash\necho '{text}' > \"$NEU_RUN_DIR/result.json\"\n")
        self.folder.run("neurun", "--runs=3", "--name=h", "local", "cpu", "./huge")
        mean = self.table("--tsv", "--mean", "--error=std", "h")
        self.assertEqual(mean[1][-6::2], ["inf", "inf", "-inf"])
        for words in (["-k", "min:whole"], ["--where", "whole>3"], ["--min=whole"], ["--max=whole"], ["--html"]):
            done = self.folder.run("neutable", *words, "h")
            self.assertEqual((done.code, "Traceback" in done.stderr), (0, False), done.stderr)
        done = self.folder.run("neuplot", "-y", "whole", "-o", "h.svg", "h")
        self.assertNotIn("Traceback", done.stderr)

    def test_wrong_words(self) -> None:
        self.sweep("jsonl")
        for words, expected in (
            (("-k", "los"), "loss"),
            (("--min=nope",), "nope"),
            (("--csv", "--json"), "--csv"),
            (("--where", "x"), "NAME OP VALUE"),
            (("--where", "loss=>1"), "NAME OP VALUE"),
            (("--where", "nope<1", "-k", "loss"), "nope"),
            (("-e", "nothing"), "{NAME}"),
            (("-E", "("), "--regex"),
            (("--at=x",), "--at"),
            (("--points=3",), "--steps"),
            (("--error=se",), "--mean"),
            (("--top=0",), "--top"),
            (("--state=DONE",), "DONE"),
            (("-k", "run.nod"), "run.node"),
        ):
            done = self.folder.run("neutable", *words, "jsonl")
            self.assertEqual((done.code, done.stdout), (100, ""), words)
            self.assertIn(expected, done.stderr, words)

    def test_nothing_hostile_reaches_a_terminal(self) -> None:
        self.folder.program(
            "evil", '#!/bin/bash\nprintf \'{"a\\\\u009b31m": "\\\\u001b[2Jx"}\' > $NEU_RUN_DIR/result.json\n'
        )
        self.folder.run("neurun", "--name=e", "local", "cpu", "./evil")
        done = self.folder.run("neutable", "e")
        self.assertFalse(re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", done.out), done.out)

    def test_a_page_in_a_browser(self) -> None:
        """Sort, filter and brush, and nobody is asked for anything: the page forbids it, and names no address."""
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if browser is None:
            self.skipTest("optional: needs chromium")
        self.sweep("jsonl")
        page = self.folder.run("neutable", "--html", "jsonl").stdout
        self.assertIn("default-src 'none'", page)
        self.assertEqual(re.findall(r"""(?:src|href)\s*=|url\(|https?:""", page), [])
        act = """<script>
            const first = () => document.querySelector("tbody td").textContent, said = [first()];
            const button = document.querySelectorAll("button.name")[1];
            button.click(); button.click(); said.push(first());
            const input = document.querySelectorAll("thead input")[1]; input.value = "<1.5"; input.oninput();
            said.push(chosen.length);
            input.value = ""; input.oninput(); canvas.setPointerCapture = () => {};
            canvas.onpointerdown({offsetX: xOf(0), offsetY: yOf(0.5)});
            canvas.onpointermove({offsetX: xOf(0), offsetY: yOf(1)});
            said.push(chosen.length, rows.length); document.title = JSON.stringify(said);
            </script></html>"""
        path = self.folder.write("page.html", page.replace("</html>", act))
        words = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            f"--user-data-dir={self.folder.path}/c",
            path.as_uri(),
        ]
        shown = subprocess.run(
            words, capture_output=True, timeout=60, check=True, env={**os.environ, "HOME": str(self.folder.path)}
        )
        title = re.search(r"<title>(.*?)</title>", shown.stdout.decode())
        self.assertEqual(json.loads(html.unescape(title[1] if title else "")), ["jsonl:0", "jsonl:1", 1, 1, 2])


class ReportTest(unittest.TestCase):
    def report(self, folder: Folder, *words: str) -> Outcome:
        return folder.run("neuwait", "--report", *words)

    def test_failed_runs_their_parameters_and_what_mends_them(self) -> None:
        folder = Folder(self, params={"lr": [1, 2]})
        folder.run(
            "neusweep", "neurun", "--name=t", "local", "cpu", "bash", "-c", "echo ValueError: bad >&2; exit $NEU_INDEX"
        )
        done = self.report(folder, "t")
        self.assertEqual(done.code, 123)
        self.assertEqual(
            done.lines(),
            ["t: 2 runs: 1 completed, 1 FAILED", "  t:1 FAILED lr=2: ValueError: bad", "Launch them again: neurerun t"],
        )

    def test_many_are_counted(self) -> None:
        folder = Folder(self)
        folder.run("neurun", "--name=t", "--runs=25", "-j4", "local", "cpu", "false")
        lines = self.report(folder, "t").lines()
        self.assertEqual((len(lines), lines[21]), (23, "  and 5 more; see neustat t"))

    def test_all_completed_is_one_line(self) -> None:
        folder = Folder(self)
        folder.run("neurun", "--name=t", "local", "cpu", "true")
        done = self.report(folder, "t")
        self.assertEqual((done.code, done.lines()), (0, ["t: 1 run: 1 completed"]))


if __name__ == "__main__":
    unittest.main()
