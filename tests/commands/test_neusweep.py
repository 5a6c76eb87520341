"""neusweep: params.json into command lines; printed, run one by one, or handed on at once."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import unittest

from neuromanager.system.quoting import parse_line
from tests.command import PATIENT, Folder, finish, wait_until
from tests.hardwords import HARD_WORDS, SHORT_WORDS, is_utf8, random_words

SEED = '{"lr": [0.1, 0.001], "layers": [4, 8, 16]}'
SEED_LINES = """\
python dummytrain.py --steps=100 --lr=0.1 --layers=4
python dummytrain.py --steps=100 --lr=0.1 --layers=8
python dummytrain.py --steps=100 --lr=0.1 --layers=16
python dummytrain.py --steps=100 --lr=0.001 --layers=4
python dummytrain.py --steps=100 --lr=0.001 --layers=8
python dummytrain.py --steps=100 --lr=0.001 --layers=16
"""
HUNDRED_THOUSAND = {"aa": list(range(1000)), "bb": list(range(100))}


class PrintTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, params=SEED)

    def printed(self, *words: str, params: object = None) -> list[str]:
        if params is not None:
            self.folder.write("params.json", params)
        done = self.folder.run("neusweep", "-n", *words)
        self.assertEqual((done.code, done.err), (0, b""))
        return done.lines()

    def test_the_seed(self) -> None:
        done = self.folder.run("neusweep", "-n", "dummytrain.py", "--steps=100")
        self.assertEqual((done.code, done.stdout, done.err), (0, SEED_LINES, b""))

    def test_the_seed_is_not_run(self) -> None:
        before = self.folder.tree()
        self.printed("dummytrain.py")
        self.folder.run("neusweep", "--count", "dummytrain.py")
        self.assertEqual(self.folder.tree(), before)

    def test_count(self) -> None:
        for words in (("--count",), ("--count", "no such program")):
            done = self.folder.run("neusweep", *words)
            self.assertEqual((done.code, done.out, done.err), (0, b"6\n", b""))
        self.folder.write("params.json", {f"p{place}": list(range(1000)) for place in range(10)})
        self.assertEqual(self.folder.run("neusweep", "--count").stdout, f"{10**30}\n")

    def test_numbers_keep_their_text(self) -> None:
        texts = ["1e-4", "1.0", "10000000000000000000000", "-0", "1E5", "0.10"]
        lines = self.printed("x", params='{"aa": [' + ", ".join(texts) + "]}")
        self.assertEqual(lines, [f"x --aa={text}" for text in texts])

    def test_values_and_names(self) -> None:
        params = '{"amp": [true, false], "note": null, "k": 3, "-single": "", "--double": 1, "v": true}'
        self.assertEqual(
            self.printed("x", params=params), ["x --amp -k 3 -single= --double=1 -v", "x -k 3 -single= --double=1 -v"]
        )
        self.assertEqual(self.printed("--style=space", "x")[0], "x --amp -k 3 -single '' --double 1 -v")

    def test_styles_of_the_file_and_of_the_option(self) -> None:
        params = '{"$style": "no-x,repeat", "amp": [true, false], "sizes": {"$words": [64, "a b"]}}'
        first, second = self.printed("x", params=params)
        self.assertEqual((first, second), ("x --amp --sizes=64 '--sizes=a b'", "x --no-amp --sizes=64 '--sizes=a b'"))
        self.assertEqual(self.printed("--style=equals", "x")[1], "x --sizes 64 'a b'")
        self.assertEqual(self.printed("--style=values", "x", "{sizes}")[1], "x 64 'a b' false")
        for params, words, part in (
            ('{"$style": "spaces", "a": 1}', (), "params.json: $style: 'spaces': no such style; did you mean 'space'?"),
            ('[{"$style": "space", "a": 1}, {"$style": "nox", "a": 1}]', (), "$style: 'space' and another"),
            ('{"a": 1}', ("--style=none,nox",), "--style: none writes all values in its own way"),
            ('{"a": {"$words": 3}}', (), "a.$words: the number 3 where a list is expected"),
            ('{"a": {"$words": [[1]]}}', (), "a.$words[0]: a list where "),
        ):
            self.folder.write("params.json", params)
            done = self.folder.run("neusweep", "-n", *words, "x")
            self.assertEqual((done.code, done.stdout), (100, ""))
            self.assertIn(part, done.stderr)

    def test_several_words_reach_neurun(self) -> None:
        self.folder.write("params.json", '{"sizes": [{"$words": [64, "a b"]}, {"$words": []}]}')
        show = self.folder.show()
        done = self.folder.run("neusweep", "neurun", "local", "cpu", show, "-k", "{sizes}", "e={sizes}")
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(self.folder.shown(), [["-k", "64", "a b", "e=64,a b"], ["-k", "e="]])
        (path,) = self.folder.path.glob("runs/*/params.txt")
        self.assertEqual(path.read_text(), '{"sizes": [64, "a b"]}\n{"sizes": []}\n')

    def test_placeholders(self) -> None:
        self.assertEqual(self.printed("x", "out/{lr}/{layers}.txt")[:2], ["x out/0.1/4.txt", "x out/0.1/8.txt"])
        self.assertEqual(self.printed("x", "{layers}")[:2], ["x 4 --lr=0.1", "x 8 --lr=0.1"])
        self.assertEqual(self.printed("x", "{{lr}}", "{other}", "{}")[0], "x '{lr}' '{other}' '{}' --lr=0.1 --layers=4")
        self.assertEqual(self.printed("x", "{lr}{{layers}}")[0], "x '0.1{layers}' --layers=4")

    def test_a_value_is_no_placeholder(self) -> None:
        self.assertEqual(self.printed("x", "{a}", "{b}", params={"a": "{b}", "b": "{a}"}), ["x '{b}' '{a}'"])

    def test_a_script_that_is_a_program_needs_no_python(self) -> None:
        self.folder.program("train.py", "#!/bin/sh\n")
        self.assertEqual(self.printed("./train.py")[0], "./train.py --lr=0.1 --layers=4")
        self.folder.program("train.py", "import os\n")
        self.assertEqual(self.printed("./train.py")[0], "python ./train.py --lr=0.1 --layers=4")
        self.assertEqual(self.printed("nice", "train.py")[0], "nice train.py --lr=0.1 --layers=4")

    def test_options_after_the_command_are_its_own(self) -> None:
        self.assertEqual(
            self.printed("x", "-n", "--count", "--", "-p", "y")[0], "x -n --count -- -p y --lr=0.1 --layers=4"
        )
        self.assertEqual(self.printed("--", "-x")[0], "-x --lr=0.1 --layers=4")

    def test_another_file(self) -> None:
        self.folder.write("it's.json", {"aa": 1})
        for words in (("-p", "it's.json"), ("-pit's.json",), ("--params=it's.json",), ("--params", "it's.json")):
            self.assertEqual(self.printed(*words, "x"), ["x --aa=1"])

    def test_from_a_program(self) -> None:
        """Through a pipe, as jq gives it; the values of one parameter, too."""
        for text in (
            """neusweep -p <(sleep 0.1; echo '{"aa": 1}') -n x""",
            """echo '{"aa": 1}' | neusweep -p - -n x""",
            """mkfifo fifo; { echo '{"aa": 1}' > fifo & } && neusweep -p fifo -n x""",
            """neusweep -s 'aa={"$lines": "/dev/stdin"}' -n x <<< 1""",
        ):
            done = self.folder.shell(text)
            self.assertEqual((done.out, done.stderr), (b"x --aa=1\n", ""), text)
        done = self.folder.shell('neusweep -s \'aa={"$lines": "fifo"}\' -n x')
        told = "neusweep: error: --sweep: aa.$lines: fifo: a pipe that nothing writes to"
        self.assertEqual((done.code, done.errors()), (100, [told]))

    def test_no_parameters_is_one_line(self) -> None:
        self.assertEqual(self.printed("x", "it's", params={}), ["x 'it'\"'\"'s'"])

    def test_one_line_for_each_point_whatever_the_words(self) -> None:
        words_once = dict.fromkeys((*HARD_WORDS, *random_words(3000, seed=11)))  # equal values are refused
        values = [word for word in words_once if is_utf8(word)]
        for words, prefix in (((), "--value="), (("{value}",), "")):
            lines = self.printed("show", *words, params={"value": values})
            self.assertEqual([parse_line(line) for line in lines], [("show", prefix + value) for value in values])
            self.assertTrue(all(line.isprintable() for line in lines))

    def test_words_of_the_command(self) -> None:
        self.assertEqual(
            [parse_line(line) for line in self.printed("show", *HARD_WORDS, params={})], [("show", *HARD_WORDS)]
        )

    def test_a_reader_that_has_enough(self) -> None:
        self.folder.write("params.json", HUNDRED_THOUSAND)
        done = self.folder.shell("set -o pipefail; neusweep -n x | head -n 2; echo ${PIPESTATUS[0]}")
        self.assertEqual((done.stdout, done.err), ("x --aa=0 --bb=0\nx --aa=0 --bb=1\n141\n", b""))
        self.assertEqual(len(self.printed("x", "{aa}")), 100_000)

    def test_streamed_in_constant_memory(self) -> None:
        """10^30 points: held as a list they would not fit in any memory; 200 MB are allowed."""
        self.folder.write("params.json", {f"p{place}": list(range(1000)) for place in range(10)})
        for word in ("x", "{p3}"):
            done = self.folder.shell(f"ulimit -v 200000; neusweep -n {word} | tail -n +200001 | head -n 1")
            self.assertIn("--p7=0 --p8=200 --p9=0\n", done.stdout, done.err)

    def test_a_full_disk(self) -> None:
        for params in (SEED, HUNDRED_THOUSAND):
            self.folder.write("params.json", params)
            done = self.folder.shell("neusweep -n x > /dev/full")
            self.assertEqual(
                (done.code, done.stderr), (100, "neusweep: error: standard output: No space left on device\n")
            )
        for words in ("--count", "--help", "--version"):
            done = self.folder.shell(f"neusweep {words} > /dev/full")
            self.assertEqual(
                (done.code, done.stderr), (100, "neusweep: error: standard output: No space left on device\n"), words
            )

    def test_closed_streams(self) -> None:
        done = self.folder.shell("neusweep -n x >&-")
        self.assertEqual((done.code, done.stderr), (111, "neusweep: error: standard output: Bad file descriptor\n"))
        self.assertEqual(self.folder.shell("neusweep -n x 2>&- <&-").lines()[0], "x --lr=0.1 --layers=4")
        self.assertEqual(self.folder.shell("neusweep -n 2>&-").code, 100)

    def test_help_and_version(self) -> None:
        done = self.folder.run("neusweep", "--help")
        self.assertEqual((done.code, done.err), (0, b""))
        self.assertIn("--fail-fast", done.stdout)
        self.assertRegex(self.folder.run("neusweep", "--version").stdout, r"^neusweep \d+\.\d+\.\d+\n$")


class EachTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, params=SEED)

    def test_one_execution_for_each_point(self) -> None:
        done = self.folder.run("neusweep", self.folder.show(), "--steps=100")
        self.assertEqual((done.code, done.out, done.err), (0, b"", b""))
        self.assertEqual(
            self.folder.shown(),
            [["--steps=100", f"--lr={lr}", f"--layers={layers}"] for lr in ("0.1", "0.001") for layers in (4, 8, 16)],
        )

    def test_hard_values(self) -> None:
        values = [word for word in SHORT_WORDS if is_utf8(word)]
        self.folder.write("params.json", {f"p{place}": value for place, value in enumerate(values)})
        self.folder.run("neusweep", self.folder.show(), *HARD_WORDS)
        self.assertEqual(
            self.folder.shown(), [[*HARD_WORDS, *(f"--p{place}={value}" for place, value in enumerate(values))]]
        )

    def test_point_in_the_environment(self) -> None:
        self.folder.write("params.json", '{"a": [1e-4, "it\'s"], "b": null}')
        show = self.folder.bash("point", 'printf "%s\\n" "$NEU_POINT"')
        self.assertEqual(
            self.folder.run("neusweep", show).stdout, '{"a": 1e-4, "b": null}\n{"a": "it\'s", "b": null}\n'
        )

    def test_a_long_point_is_left_out_and_no_old_one_left_in(self) -> None:
        self.folder.write("params.json", {"aa": "x" * 100_000})
        show = self.folder.bash("point", 'echo "<$NEU_POINT>" ${#1}')
        self.assertEqual(self.folder.run("neusweep", show, NEU_POINT='{"old": 1}').stdout, "<> 100005\n")

    def test_stdin_is_the_command_s(self) -> None:
        self.folder.write("params.json", {})
        self.assertEqual(self.folder.run("neusweep", "cat", stdin=b"a\xffb").out, b"a\xffb")

    def test_goes_on_after_a_failure(self) -> None:
        program = self.folder.bash("fails", 'echo "$*"; [ "$2" != --layers=8 ]')
        done = self.folder.run("neusweep", program)
        self.assertEqual((done.code, len(done.lines())), (123, 6))
        self.assertEqual(
            done.errors(),
            [
                "neusweep: point 1 of 6 failed (exit code 1): ./fails --lr=0.1 --layers=8",
                "neusweep: point 4 of 6 failed (exit code 1): ./fails --lr=0.001 --layers=8",
                "neusweep: 2 of 6 points failed",
            ],
        )

    def test_fail_fast(self) -> None:
        program = self.folder.bash("fails", 'echo "$*"; [ "$2" != --layers=8 ]')
        done = self.folder.run("neusweep", "--fail-fast", program)
        self.assertEqual((done.code, len(done.lines())), (123, 2))

    def test_killed_ones_have_failed(self) -> None:
        done = self.folder.run("neusweep", "--fail-fast", self.folder.bash("fails", "kill -9 $$"))
        self.assertEqual(
            (done.code, done.errors()[0]),
            (123, "neusweep: point 0 of 6 failed (exit code 137): ./fails --lr=0.1 --layers=4"),
        )

    def test_a_program_the_kernel_refuses(self) -> None:
        self.folder.write("params.json", {"aa": ["x", "y" * 200_000, "z"]})
        done = self.folder.run("neusweep", self.folder.bash("length", "echo ${#1}"))
        self.assertEqual((done.code, done.stdout), (123, "6\n6\n"))
        self.assertIn("neusweep: error: ./length: Argument list too long", done.errors())

    def test_nested(self) -> None:
        self.folder.write("inner.json", {"c": ["x", "y"]})
        self.folder.write("params.json", {"a": [1, 2]})
        self.folder.run("neusweep", "neusweep", "-p", "inner.json", self.folder.show())
        self.assertEqual(self.folder.shown(), [["-a", a, "-c", c] for a in "12" for c in "xy"])

    def test_python_is_the_environment_s_own(self) -> None:
        self.folder.write("params.json", {"lr": 1})
        self.folder.write("train.py", "import sys; print(sys.argv)")
        self.folder.program("path/python", f'#!/bin/sh\necho mine\nexec "{sys.executable}" "$@"\n')
        done = self.folder.run(
            "neusweep", "train.py", PATH=f"{self.folder.path}/path:{self.folder.environment['PATH']}"
        )
        self.assertEqual((done.code, done.stdout), (0, "mine\n['train.py', '--lr=1']\n"))

    def test_signals_stop_the_sweep(self) -> None:
        self.folder.bash(
            "program", "trap 'touch got; exit 0' TERM; touch ready; while :; do read -t 0.01 <> <(:); done"
        )
        process = self.folder.start("neusweep", "./program")
        wait_until((self.folder.path / "ready").exists, "the first point's start")
        process.terminate()
        done = finish(process)
        self.assertEqual(done.code, -signal.SIGTERM)
        self.assertEqual(done.stderr, "neusweep: stopped by signal 15 at point 0 of 6\n")
        self.assertTrue((self.folder.path / "got").exists())

    def test_a_terminal_s_interrupt(self) -> None:
        """Ctrl-C on a real terminal reaches the program, and ends the sweep."""
        self.folder.program("program", PATIENT)
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder.path)
            os.execvpe("neusweep", ["neusweep", "./program"], self.folder.environment)
        wait_until((self.folder.path / "ready").exists, "the first point's start")
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
        said = b""
        with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
            while piece := os.read(terminal, 65536):
                said += piece
        os.close(terminal)
        self.assertEqual(os.WTERMSIG(status), signal.SIGINT)
        self.assertIn(b"neusweep: stopped by signal 2 at point 0 of 6", said)

    def test_an_interrupt_from_elsewhere(self) -> None:
        self.folder.program("program", PATIENT)
        process = self.folder.start("neusweep", "./program")
        wait_until((self.folder.path / "ready").exists, "the first point's start")
        os.kill(process.pid, signal.SIGINT)
        self.assertEqual(finish(process).code, -signal.SIGINT)


class BatchTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, params='{"lr": [1e-1, 0.001], "name": "it\'s \\u2028 \\n é"}')
        self.reader = self.folder.bash(
            "reader", 'printf . >&"$NEU_POINTS_TAKEN"; cat "$NEU_POINTS"; echo "$*" >&2; exit "${CODE:-0}"'
        )

    def test_all_points_in_one_execution(self) -> None:
        done = self.folder.run("neusweep", "--batch", self.reader, "a b")
        self.assertEqual((done.code, done.err), (0, b"a b\n"))
        points = [json.loads(line) for line in done.lines()]
        name = "it's \u2028 \n é"
        self.assertEqual(
            points,
            [
                {"point": {"lr": lr, "name": name}, "words": [f"--lr={text}", f"--name={name}"]}
                for lr, text in ((0.1, "1e-1"), (0.001, "0.001"))
            ],
        )

    def test_styles_and_placeholders(self) -> None:
        done = self.folder.run("neusweep", "--batch", "--style", "space", self.reader, "{name}")
        self.assertEqual(json.loads(done.lines()[0])["words"], ["--lr", "1e-1"])
        self.assertEqual(done.err, b"{name}\n")  # the reader fills it

    def test_its_exit_code_is_ours(self) -> None:
        for code in (3, 100, 123):
            self.assertEqual(self.folder.run("neusweep", "--batch", self.reader, CODE=str(code)).code, code)

    def test_more_points_than_can_be_runs(self) -> None:
        done = self.folder.run("neusweep", "-s", 'a={"$range": [0, 1000000000000]}', "--batch", "true")
        self.assertEqual(done.code, 100)
        self.assertRegex(done.stderr, r"100000000000[01] points .*10000000 at most.*--sample")

    def test_nobody_took_them(self) -> None:
        done = self.folder.run("neusweep", "--batch", "true")
        self.assertEqual(done.code, 100)
        self.assertEqual(
            done.stderr,
            "neusweep: error: true did not read NEU_POINTS: no point of the sweep was run; "
            "use --each to run it for each point\n",
        )
        self.assertEqual(self.folder.run("neusweep", "--batch", "bash", "-c", "exit 3").code, 3)
        self.assertEqual(self.folder.run("neusweep", "neurun", "--help").code, 100)

    def test_neurun_takes_them_unasked(self) -> None:
        done = self.folder.run("neusweep", "neurun", "local", "cpu", self.folder.show())
        self.assertEqual((done.code, len(self.folder.shown())), (0, 2), done.err)
        self.assertEqual(sorted(os.listdir(self.folder.path / "runs")), [".gitignore", ".lock", "show-1"])

    def test_each_makes_one_experiment_for_each_point(self) -> None:
        self.folder.run("neusweep", "--each", "neurun", "local", "cpu", self.folder.show())
        self.assertEqual(sorted(os.listdir(self.folder.path / "runs")), [".gitignore", ".lock", "show-1", "show-2"])
        self.assertEqual(json.loads(self.folder.read("runs/show-2/params.txt"))["lr"], 0.001)

    def test_nested_sweeps_reach_neurun(self) -> None:
        self.folder.write("outer.json", {"seed": [1, 2]})
        self.folder.run("neusweep", "-p", "outer.json", "neusweep", "neurun", "local", "cpu", self.folder.show())
        self.assertEqual([words[0] for words in self.folder.shown()], ["--seed=1", "--seed=1", "--seed=2", "--seed=2"])

    def test_neurun_beside_a_clone_is_found(self) -> None:
        parts = self.folder.environment["PATH"].split(os.pathsep)
        path = os.pathsep.join(part for part in parts if not os.path.exists(f"{part}/neurun"))
        neusweep = subprocess.check_output(["which", "neusweep"], env=self.folder.environment, text=True).strip()
        done = self.folder.run(neusweep, "neurun", "local", "cpu", self.folder.show(), PATH=path)
        self.assertEqual((done.code, len(self.folder.shown())), (0, 2), done.err)

    def test_neurun_beside_us_is_our_process(self) -> None:
        process = self.folder.start("neusweep", "neurun", "--name=x", "local", "cpu", "true")
        self.assertEqual(finish(process).code, 0)
        intent = json.loads(self.folder.read("runs/x/jobs.jsonl").split("\n")[0])
        self.assertEqual(intent["pid"], process.pid)
        done = self.folder.run("neusweep", "-q", "neurun", "local", "cpu", "no-such-program")
        self.assertEqual((done.code, done.stderr[:17]), (127, "neurun: error: no"))

    def test_a_detached_neurun(self) -> None:
        done = self.folder.run("neusweep", "neurun", "--detach", "local", "cpu", "true")
        self.assertEqual((done.code, done.stdout), (0, "runs/true-1\n"), done.err)
        self.assertEqual(self.folder.run("neuwait", "true-1").code, 0)
        self.assertNotIn("error", self.folder.read("runs/true-1/neurun.log"))

    def test_another_neurun_on_path_is_executed(self) -> None:
        place = self.folder.path / os.path.dirname(self.folder.bash("elsewhere/neurun", f'exec {self.reader} "$@"'))
        done = self.folder.run("neusweep", "neurun", "a b", PATH=f"{place}:{self.folder.environment['PATH']}")
        self.assertEqual((done.code, len(done.lines()), done.err), (0, 2, b"a b\n"))

    def test_signals_reach_the_reader(self) -> None:
        self.folder.bash("reader", "trap 'exit 4' TERM; touch ready; while :; do read -t 0.01 <> <(:); done")
        process = self.folder.start("neusweep", "--batch", "./reader")
        wait_until((self.folder.path / "ready").exists, "the reader's start")
        process.terminate()
        self.assertEqual(finish(process).code, -signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
