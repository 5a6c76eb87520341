"""What newcomers type: each slip is refused before anything is made, with the line that mends it."""

from __future__ import annotations

import unittest

from tests.command import Folder


class SlipTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self, {"local": {"bare": {}, "env": {"env": "export A=1"}}})
        self.folder.program("train.py", "#!/usr/bin/env python3\n")

    def refuse(self, *words: str, code: int, stdin: bytes = b"") -> str:
        done = self.folder.run(*words, stdin=stdin)
        self.assertEqual((done.code, done.stdout), (code, ""), (words, done.stderr))
        self.assertFalse((self.folder.path / "runs").exists(), words)
        return done.stderr

    def test_the_whole_command_in_quotes(self) -> None:
        for device in ("bare", "env"):
            self.assertIn("without quotes", self.refuse("neurun", "local", device, "./train.py --lr 0.1", code=127))

    def test_a_program_with_a_blank_in_its_name_is_one(self) -> None:
        self.folder.program("my program", "#!/bin/sh\n")
        self.assertEqual(self.folder.run("neurun", "local", "env", "./my program").code, 0)

    def test_an_assignment_before_the_command(self) -> None:
        for device in ("bare", "env"):
            said = self.refuse("neurun", "local", device, "OMP_NUM_THREADS=4", "./train.py", code=127)
            self.assertIn("env OMP_NUM_THREADS=4", said)
        said = self.refuse("neurun", "local", "bare", "-", code=127, stdin=b"OMP_NUM_THREADS=4 ./train.py\n")
        self.assertIn("env OMP_NUM_THREADS=4", said)

    def test_a_job_list_that_is_for_a_shell(self) -> None:
        said = self.refuse("neurun", "local", "bare", "-", code=100, stdin=b"seq 3 | wc -l\n")
        mended = said.partition("write ")[2].partition(", to mean")[0]
        done = self.folder.run("neurun", "local", "bare", "-", stdin=f"{mended}\n".encode())
        self.assertEqual((done.code, done.stdout), (0, "3\n"))

    def test_where_to_run_is_left_out(self) -> None:
        for words in (["./train.py"], ["local", "./train.py"]):
            self.assertIn("as neurun local cpu ./train.py", self.refuse("neurun", *words, code=100))

    def test_a_parameter_or_a_resource_as_an_option(self) -> None:
        said = self.refuse("neurun", "--gres=gpu:1", "local", "bare", "./train.py", code=100)
        self.assertIn("--gres: no such option; an option of the scheduler is given as -r gres=gpu:1", said)
        self.assertIn("-r mem=VALUE", self.refuse("neurun", "--mem", "8G", "local", "bare", "./train.py", code=100))
        self.assertIn("did you mean '--runs'?", self.refuse("neurun", "--run=3", "local", "bare", "x", code=100))
        said = self.refuse("neusweep", "--lr=0.1,0.01", "./train.py", code=100)
        self.assertIn("a parameter is given as -s lr=0.1,0.01", said)
        self.assertIn("give parameters with -s lr=0.1,0.01", self.refuse("neusweep", "./train.py", code=100))

    def test_a_command_without_a_place(self) -> None:
        """The first line that many type, with a file of profiles and without."""
        for config in (True, False):
            if not config:
                (self.folder.path / "config.json").unlink()
            for words in (
                ["python3", "train.py"],
                ["python3", "train.py", "--lr=0.1"],
                ["./train.py", "--lr=0.1", "--n=1"],
                ["train.py", "--lr=0.1", "--n=1"],
                ["local", "python3", "train.py"],
            ):
                command = " ".join(word for word in words if word != "local")
                said = self.refuse("neurun", *words, code=100)
                self.assertIn(f"write neurun SUPPORT DEVICE COMMAND, as neurun local cpu {command}", said)

    def test_words_in_another_order(self) -> None:
        bare = ("./train.py", "--lr=0.1")
        for words, mend in (
            (["neurun", "bare", "local", *bare], "as neurun local bare ./train.py --lr=0.1"),
            (["neurun", "local", "-j2", "bare", *bare], "its options before SUPPORT"),
            (["neurun", "neusnap", "local", "bare", *bare], "and neusnap before neurun"),
            (["neusweep", "-s", "lr=1", "neurun", "neuset", "a.yaml", "local", "bare"], "and neuset before neurun"),
            (["neurun", "local", "neusweep", "-s", "lr=1", "bare", *bare], "and neusweep before neurun"),
            (["neurun", "-s", "lr=1", "local", "bare", *bare], "neusweep -s NAME=V1,V2 neurun SUPPORT DEVICE COMMAND"),
            (["neurun", "--tag", "local", "bare", *bare], "'local' is the value of --tag"),
            (["neurun", "--requeue", "local", "bare", "./train.py"], "'local' is the value of --requeue"),
            (["neurun", "local", "bare", "-j2", "./train.py"], "options come before the first operand"),
            (["neurun", "Local", "bare", *bare], "did you mean 'local'?"),
        ):
            self.assertIn(mend, self.refuse(*words, code=100), words)
        (self.folder.path / "config.json").unlink()
        for words, mend in (
            (["neurun", "cpu", "local", *bare], "as neurun local cpu ./train.py --lr=0.1"),
            (["neurun", "Local", "cpu", *bare], "did you mean 'local'?"),
        ):
            self.assertIn(mend, self.refuse(*words, code=100), words)

    def test_a_name_for_each_point(self) -> None:
        said = self.refuse("neusweep", "-s", "a=1,2", "neurun", "--name=n{a}", "local", "bare", "./train.py", code=100)
        self.assertIn("'n{a}' varies over the sweep, and one experiment has one name; neusweep --each", said)

    def test_a_command_of_the_suite_misspelt(self) -> None:
        said = self.refuse("neusweep", "-s", "lr=1", "nuerun", "local", "bare", "./train.py", code=127)
        self.assertIn("nuerun: no such program on PATH; did you mean 'neurun'?", said)

    def test_a_line_of_a_shell_in_quotes(self) -> None:
        said = self.refuse("neurun", "local", "bare", "ls | wc -l", code=127)
        self.assertIn("for a line of a shell write bash -c 'ls | wc -l'", said)
        self.assertIn("bash -c 'source env.sh'", self.refuse("neurun", "local", "bare", "source", "env.sh", code=127))

    def test_a_line_of_standard_input_that_is_no_program(self) -> None:
        said = self.refuse("neurun", "local", "bare", "-", code=127, stdin=b"./train.py\n\nnope 1\n")
        self.assertIn("standard input: nope: no such program on PATH; each line is a whole command", said)

    def test_a_command_in_place_of_the_device(self) -> None:
        self.folder.write("config.json", {"slurm": {"*": {}, "big": {}}})
        said = self.refuse("neurun", "slurm", "./train.py", "--lr=1", code=100)
        self.assertIn("as neurun slurm big ./train.py --lr=1", said)

    def test_a_file_in_place_of_an_experiment(self) -> None:
        self.assertIn("neuget -p result.json", self.refuse("neuget", "result.json", code=100))
        self.assertIn("-f NAME", self.refuse("neutable", "-p", "result.json", code=100))
        self.assertNotIn("-p", self.refuse("neuget", "train", code=100))

    def test_a_variable_that_is_not_set(self) -> None:
        said = self.refuse("neurun", "--after=", "local", "bare", "./train.py", code=100)
        told = "--after: the value is empty; give one, or leave the option out (see neurun --help)"
        self.assertEqual(said, f"neurun: error: {told}\n")
        self.assertNotIn("half made", self.refuse("neuwait", "", code=100))

    def test_a_note_in_place_of_a_support_or_a_device(self) -> None:
        notes = {"$schema": "x", "x-read": ["a"], "slurm": {"x-note": "a", "x-more": ["a"], "big": {}}}
        self.folder.write("config.json", notes)
        for words in (["$schema", "cpu"], ["x-read", "a"], ["slurm", "x-note"], ["slurm", "x-more"]):
            self.assertIn("known: ", self.refuse("neurun", *words, "true", code=100))

    def test_values_as_for_parallel(self) -> None:
        done = self.folder.run("neurun", "local", "bare", "echo", "{}", ":::", "a", "b")
        self.assertEqual((done.code, done.stdout), (0, "{} ::: a b\n"))
        self.assertIn("neusweep -s x=a,b neurun ... {x}", done.stderr)
        self.folder.program("parallel", "#!/bin/sh\n")
        self.assertNotIn(":::", self.folder.run("neurun", "local", "bare", "./parallel", "echo", ":::", "a").stderr)

    def test_a_script_with_lines_for_sbatch(self) -> None:
        script = "#!/bin/bash\n#SBATCH --time=1:00:00\n#SBATCH --mem 4G # all\n#SBATCH --array=0-9\necho done\n"
        self.folder.program("job.sh", script)
        self.folder.write("config.json", {"slurm": {"cpu": {}}})
        for words in (["./job.sh"], ["bash", "job.sh"]):
            done = self.folder.run("neurun", "-n", "slurm", "cpu", *words)
            said = "warning: job.sh: its #SBATCH lines are not read; write -r time=1:00:00 -r mem=4G, or resources "
            said += "of the profile; for --array see --runs\n"
            self.assertEqual((done.code, said in done.stderr.replace("./", "")), (0, True), done.stderr)
        self.assertNotIn("SBATCH", self.folder.run("neurun", "-n", "slurm", "cpu", "cat", "job.sh").stderr)

    def test_lines_that_nobody_reads(self) -> None:
        said = self.refuse("neurun", "local", "bare", code=100, stdin=b"echo a\n")
        self.assertIn("- for COMMAND reads command lines from standard input", said)

    def test_options_of_other_tools(self) -> None:
        for option, mend in (
            ("-p", "-r partition=VALUE"),
            ("-t", "-r time=VALUE"),
            ("--job-name=x", "--name NAME"),
            ("--array=0-9", "--runs N"),
            ("--joblog=x", "neustat --joblog"),
            ("--resume-failed", "neurerun"),
            ("--timeout=10", "-r time=VALUE"),
            ("--cores=4", "-j N"),
            ("-d", "did you mean '--detach' or '--dry-run'?"),
            ("--results=out", "runs/NAME/logs"),
            ("-k", "neulog NAME"),
            ("--keep-order", "neulog NAME"),
            ("--bar", "neustat"),
            ("--linebuffer", "--tee"),
            ("--colsep=,", "neuimport csv"),
            ("--sshlogin=a", '"host"'),
            ("--memfree=1G", "-r mem=VALUE"),
        ):
            self.assertIn(mend, self.refuse("neurun", option, "local", "bare", "./train.py", code=100))
        self.assertIn("neuimport hydra", self.refuse("neusweep", "-m", "train.py", "lr=1,2", code=100))
        self.assertIn("-r account=VALUE", self.refuse("neurerun", "-A", "me", code=100))
        self.assertIn("did you mean '--all'?", self.refuse("neustat", "-a", code=100))
        for words, mend in (
            (("neurerun", "--force"), "neurun --like NAME"),
            (("neurerun", "--detach"), "neurun --resume --detach"),
            (("neustat", "--failed"), "--state=FAILED"),
            (("neutable", "--sort=loss"), "--min NAME"),
            (("neutable", "-o", "x.csv"), "--csv > FILE"),
            (("neulog", "--tail=5"), "-n N"),
        ):
            self.assertIn(mend, self.refuse(*words, code=100), words)

    def test_an_option_of_neurun_before_neusweep_has_come_to_it(self) -> None:
        for word, rest in (("-j4", "-j4"), ("--runs=3", "--runs=3"), ("--dry-run", "--dry-run")):
            said = self.refuse("neusweep", word, "-s", "lr=1", "neurun", "local", "bare", "./train.py", code=100)
            self.assertIn(f"neusweep neurun {rest} SUPPORT DEVICE COMMAND", said)

    def test_a_parameter_in_place_of_the_command(self) -> None:
        for words in (["lr=0.1,0.2", "./train.py"], ["-s", "seed=0", "lr=1", "./train.py"]):
            said = self.refuse("neusweep", *words, code=127)
            self.assertIn("for a parameter write -s lr=", said)

    def test_a_value_that_is_another_parameter(self) -> None:
        done = self.folder.run("neusweep", "--count", "-s", "lr=0.1,0.2,size=8,16")
        self.assertEqual(done.stdout, "4\n")
        self.assertIn("'size=8' is a value of lr; write -s lr=0.1,0.2 -s size=8,16", done.stderr)

    def test_calls_of_functions_in_a_sweep_of_words(self) -> None:
        for text, mended in (
            ("range(0,10,2)", '{"$range": [0, 10, 2]}'),
            ("range(2, 5)", '{"$range": [2, 5]}'),
            ("linspace(0,1,5)", '{"$linspace": [0, 1, 5]}'),
            ("np.linspace(-1,1,3)", '{"$linspace": [-1, 1, 3]}'),
            ("logspace(-4,-1,4)", '{"$geomspace": [1e-4, 1e-1, 4]}'),
        ):
            done = self.folder.run("neusweep", "--count", "-s", f"lr={text}")
            self.assertIn(f"for numbers write 'lr={mended}'", done.stderr)
            self.assertEqual(self.folder.run("neusweep", "--count", "-s", f"lr={mended}").errors(), [])
        done = self.folder.run("neusweep", "--count", "-s", "lr=f(1,2)")
        self.assertIn("'f(1' is one text: commas separate values", done.stderr)

    def test_values_with_blanks_between_them(self) -> None:
        done = self.folder.run("neusweep", "--count", "-s", "lr=0.1 1e-2 -3")
        self.assertEqual(done.stdout, "1\n")
        self.assertIn("'0.1 1e-2 -3' is one text; write -s lr=0.1,1e-2,-3 for 3 values", done.stderr)
        for value in ("a b", "1 epoch", "5"):
            self.assertEqual(self.folder.run("neusweep", "--count", "-s", f"x={value}").stderr, "")

    def test_a_table_in_place_of_a_sweep(self) -> None:
        self.folder.write("points.csv", "a,b\n1,2\n")
        said = self.refuse("neusweep", "-p", "points.csv", "-n", "x", code=100)
        self.assertIn("neuimport csv points.csv | neusweep -p - COMMAND", said)

    def test_yaml(self) -> None:
        self.folder.write("sweep.yaml", "method: grid\n")
        self.assertIn("YAML; write it as JSON", self.refuse("neusweep", "-p", "sweep.yaml", "-n", "x", code=100))

    def test_blanks_and_ranges_in_a_sweep_of_words(self) -> None:
        done = self.folder.run("neusweep", "-n", "-s", "lr=0.1, 0.01", "x")
        self.assertEqual((done.lines(), done.stderr), (["x --lr=0.1", "x --lr=0.01"], ""))
        for text, limits in (("1-10", "[1, 11]"), ("0..9", "[0, 10]"), ("range(10)", "[0, 10]")):
            done = self.folder.run("neusweep", "--count", "-s", f"seed={text}")
            self.assertEqual(done.stdout, "1\n")
            mended = done.stderr.partition("write '")[2].partition("'")[0]
            self.assertEqual(mended, f'seed={{"$range": {limits}}}')
            self.assertEqual(self.folder.run("neusweep", "--count", "-s", mended).stdout, "10\n")

    def test_a_run_by_its_number_alone(self) -> None:
        self.assertEqual(self.folder.run("neurun", "local", "bare", "./train.py").code, 0)
        self.assertIn("run 0 of an experiment is NAME:0", self.folder.run("neulog", "0").stderr)

    def test_a_nested_configuration(self) -> None:
        self.folder.write("params.json", {"model": {"depth": [1, 2]}})
        self.assertIn('"model.depth"', self.refuse("neusweep", "-n", "true", code=100))

    def test_variables_are_taken_as_they_stand(self) -> None:
        self.folder.write(
            "config.json", {"local": {"cpu": {"variables": {"DATA": "~/data", "B": "$HOME/b", "C": "5$"}}}}
        )
        done = self.folder.run("neurun", "local", "cpu", "sh", "-c", 'echo "$DATA $B"')
        self.assertEqual((done.code, done.stdout), (0, "~/data $HOME/b\n"))
        named = [line for line in done.errors() if "warning" in line]
        self.assertEqual(
            ["variables.DATA: '~/data'" in named[0], "variables.B: '$HOME/b'" in named[1], len(named)], [True, True, 2]
        )

    def test_a_range_that_would_fill_the_memory(self) -> None:
        self.folder.run("neurun", "--name=a", "--runs=2", "local", "bare", "true")
        done = self.folder.run("neustat", "a:0-999999999")
        self.assertEqual((done.code, done.stdout), (100, ""))
        self.assertEqual(done.errors(), ["neustat: error: 'a:0-999999999': no run 2; there are runs 0 to 1"])

    def test_brackets_without_end(self) -> None:
        for depth in (150, 980, 100_000):
            (self.folder.path / "params.json").write_text('{"a": ' + "[" * depth + "]" * depth + "}")
            self.assertEqual(
                self.refuse("neusweep", "-n", "true", code=100),
                "neusweep: error: params.json: nested too deeply; 100 levels at most\n",
            )

    def test_a_commands_txt_that_lost_its_lines(self) -> None:
        self.folder.run("neurun", "--name=a", "--runs=2", "local", "bare", "true")
        (self.folder.path / "runs/a/commands.txt").write_text("true\n")
        done = self.folder.run("neustat", "--check", "a")
        self.assertEqual(done.code, 100)
        self.assertIn("commands.txt: has 1 line, and experiment.json says 2 runs", done.stderr)


if __name__ == "__main__":
    unittest.main()
