"""What the fake Slurm promises because the real one does.

slurm/test_fake_contract.py runs it on the fake, check_contract.py on the real one.

Each promise was seen on Slurm 20.11.4, 22.05.8 and 24.11.5; where these differ, that is said. The fake is a 22.05. None
asks for what only one of them does.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from pathlib import Path

from tests.beds.slurm.client import PATIENCE_SECONDS, Client


class Contract(Client):
    """What sbatch promises, and the least of the others."""

    @property
    def launch_failure(self) -> str:
        """What sacct says of a job whose output cannot be opened."""
        return "FAILED|1:0" if self.version < (22, 5) else "FAILED|0:53"

    # --- submission and what the job sees

    def test_without_parsable_a_sentence(self) -> None:
        done = self.call("sbatch", "--output=/dev/null", self.write("true"))
        self.test.assertRegex(done.stdout, r"\ASubmitted batch job \d+\n\Z")
        self.wait(done.stdout.split()[-1])

    def test_a_test_takes_nothing(self) -> None:
        done = self.call("sbatch", "--test-only", self.write("#SBATCH --output=o", "true"))
        self.test.assertEqual((done.returncode, done.stdout), (0, ""))
        words = r"sbatch: Job \d+ to start at \S+ using \d+ processors on nodes n\d in partition big-gpu\n"
        self.test.assertRegex(done.stderr, rf"\A{words}\Z")
        self.test.assertEqual(os.listdir(self.folder), ["job.sh"])
        job = self.run_job(self.write("true"))
        self.test.assertEqual(
            self.call("squeue", "--noheader", "--states=all", "--format=%Z|%A").stdout.count(f"{self.folder}|"), 1, job
        )

    def test_variables_of_a_single_job(self) -> None:
        job = self.run_job(self.write("env"), "ignored")
        found = parse_environment(self.read(f"slurm-{job}.out"))
        self.test.assertEqual(found["SLURM_JOB_ID"], job)
        self.test.assertEqual(found["SLURM_JOB_NAME"], "job.sh")
        self.test.assertEqual(found["SLURM_SUBMIT_DIR"], self.folder)
        self.test.assertEqual(found["SLURM_JOB_PARTITION"], "big-gpu")
        self.test.assertEqual(found["SLURM_JOB_ACCOUNT"], "myproject")
        self.test.assertIn(found["SLURMD_NODENAME"], ("n1", "n2"))
        self.test.assertNotIn("SLURM_ARRAY_TASK_ID", found)
        self.test.assertNotIn("CUDA_VISIBLE_DEVICES", found)

    def test_arguments_reach_the_script(self) -> None:
        self.run_job(self.write("#SBATCH --output=o", 'printf "<%s>" "$@"'), "--x=a b", "-", "")
        self.test.assertEqual(self.read("o"), "<--x=a b><-><>")

    def test_variables_of_an_array(self) -> None:
        job = self.run_job(self.write("#SBATCH --array=0-2 --output=%A_%a", "env"))
        found = [parse_environment(self.read(f"{job}_{index}")) for index in range(3)]
        self.test.assertEqual([each["SLURM_ARRAY_TASK_ID"] for each in found], ["0", "1", "2"])
        self.test.assertEqual({each["SLURM_ARRAY_JOB_ID"] for each in found}, {job})
        self.test.assertEqual(len({each["SLURM_JOB_ID"] for each in found}), 3)
        for name, value in (("COUNT", "3"), ("MIN", "0"), ("MAX", "2")):
            self.test.assertEqual({each[f"SLURM_ARRAY_TASK_{name}"] for each in found}, {value}, name)

    def test_array_of_scattered_indices(self) -> None:
        job = self.run_job(self.write("#SBATCH --array=7,1-5:2%2 --output=a-%a", "true"))
        self.test.assertEqual(sorted(os.listdir(self.folder)), ["a-1", "a-3", "a-5", "a-7", "job.sh"], job)

    def test_gpus_are_numbers_of_one_digit(self) -> None:
        self.run_job(self.write("#SBATCH --gres=gpu:p100:2 --output=o", 'echo "$CUDA_VISIBLE_DEVICES"'))
        self.test.assertRegex(self.read("o"), r"\A[0-3],[0-3]\n\Z")  # which depends on what else runs there

    def test_environment_is_passed_on(self) -> None:
        value = "a b\n'\"\\é"
        self.run_job(self.write("#SBATCH --output=o", 'printf "%s" "$MINE"'), MINE=value)
        self.test.assertEqual(self.read("o"), value)

    def test_standard_input_is_empty(self) -> None:
        self.run_job(self.write("#SBATCH --output=o", "cat; echo end"))
        self.test.assertEqual(self.read("o"), "end\n")

    def test_the_script_is_copied_at_once(self) -> None:
        script = self.write("#SBATCH --output=o", "while [ ! -e go ]; do sleep 0.02; done", "echo first")
        job = self.submit(script)
        self.write("echo second")
        Path(self.folder, "go").touch()
        self.wait(job)
        self.test.assertEqual(self.read("o"), "first\n")

    # --- logs

    def test_patterns(self) -> None:
        job = self.run_job(self.write("#SBATCH --job-name='a name' --output=%x.%j.%%j.%5j.out", "true"))
        self.test.assertIn(f"a name.{job}.%j.{job.zfill(5)}.out", os.listdir(self.folder))

    def test_array_patterns_without_an_array(self) -> None:
        job = self.run_job(self.write("#SBATCH --output=%A_%a", "true"))
        self.test.assertIn(f"{job}_4294967294", os.listdir(self.folder))

    def test_default_log_of_an_array(self) -> None:
        job = self.run_job("--array=4", self.write("true"))
        self.test.assertIn(f"slurm-{job}_4.out", os.listdir(self.folder))

    def test_errors_go_to_the_output_unless_told(self) -> None:
        script = self.write("#SBATCH --output=o", "echo out; echo err >&2")
        self.run_job(script)
        self.test.assertEqual(self.read("o"), "out\nerr\n")
        self.run_job("--error=e", script)
        self.test.assertEqual((self.read("o"), self.read("e")), ("out\n", "err\n"))

    def test_append_mode(self) -> None:
        script = self.write("#SBATCH --output=o", "echo line")
        for mode, text in (("append", "line\n"), ("append", "line\nline\n"), ("truncate", "line\n")):
            self.run_job(f"--open-mode={mode}", script)
            self.test.assertEqual(self.read("o"), text)

    def test_output_that_cannot_be_opened(self) -> None:
        script = self.write("#SBATCH --output=job.sh/o", "touch ran")
        job = self.run_job(script)
        self.test.assertNotIn("ran", os.listdir(self.folder))
        self.check_accounted(job, self.launch_failure)

    def test_output_in_a_folder_that_is_not_there(self) -> None:
        job = self.run_job(self.write("#SBATCH --output=missing/o", "touch ran"))
        makes_folders = self.version > (22, 5)
        self.check_accounted(job, "COMPLETED|0:0" if makes_folders else self.launch_failure)
        self.test.assertEqual(
            sorted(os.listdir(self.folder)), ["job.sh", "missing", "ran"] if makes_folders else ["job.sh"]
        )

    # --- #SBATCH lines

    def test_quoting(self) -> None:
        for folder in ("a b", "q'q", 'd"d', "h#h", "é", "p%j", "$HOME `x` * ~ ; & !", "b\\s", "nothing"):
            os.mkdir(os.path.join(self.folder, folder))
        expected = (
            ('"a b/o"', "a b/o"),
            ("'a b/p'", "a b/p"),
            ("a' 'b/q", "a b/q"),
            ('"q\'q/o"', "q'q/o"),
            ("q\\'q/p", "q'q/p"),
            ('"d\\"d/o"', 'd"d/o'),
            ('"h#h/o"', "h#h/o"),
            ("h\\#h/p", "h#h/p"),
            ("nothing/o#rest", "nothing/o"),
            ("é/o", "é/o"),
            ('"p%%j/o"', "p%j/o"),
            ('"$HOME `x` * ~ ; & !/o"', "$HOME `x` * ~ ; & !/o"),
            ("'nothing/\\p'", "nothing/p"),
            ('"b\\\\\\\\s/%j"', "b\\s/%j"),
        )
        submitted = [self.submit(self.write(f"#SBATCH --output={written}", "echo here")) for written, _ in expected]
        for job, (written, path) in zip(submitted, expected):
            with self.test.subTest(written):
                self.wait(job)
                self.test.assertEqual(self.read(path), "here\n")

    def test_a_comment_ends_a_line_of_options(self) -> None:
        job = self.run_job(self.write("#SBATCH   --output=o --job-name=x  # --output=no", "echo $SLURM_JOB_NAME"))
        self.test.assertEqual(self.read("o"), "x\n", job)

    def test_options_end_with_the_first_command(self) -> None:
        job = self.run_job(
            self.write("# SBATCH --output=no", "", "  # words", "#SBATCH --output=o", "true", "#SBATCH --output=late")
        )
        self.test.assertEqual(sorted(os.listdir(self.folder)), ["job.sh", "o"], job)

    def test_an_escaped_blank_outside_quotes_is_no_blank(self) -> None:
        script = self.write("#SBATCH --output=a\\ b", "true")
        if self.version > (22, 5):  # which takes it, and drops the rest of the line
            self.run_job(script)
            return
        self.check_refusal([script], 255, "sbatch: error: Invalid directive found in batch script: b")

    def test_unmatched_quotes(self) -> None:
        script = self.write("#SBATCH --job-name=it's", "true")
        blank = " " if self.version < (22, 5) else ""
        self.check_refusal([script], 1, f"sbatch: fatal: job.sh: line 2: Unmatched `'` in [{blank}--job-name=it's]")

    # --- folders

    def test_chdir(self) -> None:
        folders = [os.path.join(self.folder, name) for name in ("a b", "q'q", 'd"d', "h#h", "é", "p%j", "b\\s")]
        submitted = []
        for number, folder in enumerate(folders):
            os.mkdir(folder)
            quoted = folder.replace("\\", "\\\\").replace('"', '\\"')
            script = self.write(f'#SBATCH --chdir="{quoted}" --output={self.folder}/log-{number}', "pwd")
            submitted.append(self.submit(script))
        for number, folder in enumerate(folders):
            with self.test.subTest(folder):
                self.wait(submitted[number])
                self.test.assertEqual(self.read(f"log-{number}"), f"{folder}\n")

    def test_a_relative_log_lies_in_chdir(self) -> None:
        os.mkdir(os.path.join(self.folder, "a b"))
        self.run_job(self.write("#SBATCH --chdir='a b' --output=o", "pwd"))
        self.test.assertEqual(self.read("a b/o"), f"{self.folder}/a b\n")

    def test_a_percent_sign_in_the_folder_counts_as_a_pattern_in_a_relative_log(self) -> None:
        os.mkdir(os.path.join(self.folder, "p%j"))
        job = self.run_job(self.write(f'#SBATCH --chdir="{self.folder}/p%j" --output=o', "true"))
        self.test.assertEqual(os.listdir(os.path.join(self.folder, "p%j")), [])
        if self.version > (22, 5):
            self.test.assertEqual(self.read(f"p{job}/o"), "")
        else:
            self.check_accounted(job, self.launch_failure)

    def test_the_default_log_takes_any_folder(self) -> None:
        for name in ("p%j", "b\\s"):
            folder = os.path.join(self.folder, name)
            os.mkdir(folder)
            with self.test.subTest(name):
                job = self.run_job("--chdir", folder, self.write("pwd"))
                self.test.assertEqual(self.read(f"{name}/slurm-{job}.out"), f"{folder}\n")

    # --- refusals

    def test_refusals_of_the_controller(self) -> None:
        script = self.write("true")
        failed = "sbatch: error: Batch job submission failed: "
        for option, last_line in (
            ("--partition=nowhere", failed + "Invalid partition name specified"),
            ("--account=stranger", failed + "Invalid account or account/partition combination specified"),
            ("--array=0-1001", failed + "Invalid job array specification"),
            ("--array=x", failed + "Invalid job array specification"),
            ("--gres=gpu:p100:5", failed + "Requested node configuration is not available"),
            (
                "--gres=fpga:1",
                ("sbatch: error: " if self.version >= (22, 5) else failed)
                + "Invalid generic resource (gres) specification",
            ),
        ):
            with self.test.subTest(option):
                self.check_refusal([option, script], 1, last_line)

    def test_refusals_of_words(self) -> None:
        script = self.write("true")
        last = 'Try "sbatch --help" for more information'
        self.check_refusal(["--nonsense=1", script], 255, last)
        self.check_refusal([self.write("#SBATCH --nonsense", "true")], 255, last)

    def test_refusals_of_scripts(self) -> None:
        self.check_refusal([self.write("true", first="true")], 1, "sbatch: error: For instance: #!/bin/sh")
        dos = self.write("true\r", first="#!/bin/bash\r")
        self.check_refusal([dos], 1, "sbatch: error: instead of expected UNIX line breaks (\\n).")
        self.check_refusal(["missing.sh"], 1, "sbatch: error: Unable to open file missing.sh")

    def limit_submission(self, most: int | None) -> dict[str, str]:
        """Sets MaxSubmitJobs of the user's association, or takes it away; variables for the next calls."""
        raise NotImplementedError

    def test_a_limit_on_submitted_jobs(self) -> None:
        words = ("scontrol", "show", "assoc_mgr", f"users={pwd.getpwuid(os.geteuid()).pw_name}", "flags=assoc")
        limited = self.limit_submission(5)
        self.test.addCleanup(self.limit_submission, None)

        def count() -> int:
            """The jobs that count, in the one of the user's associations that has some."""
            return sum(map(int, re.findall(r" MaxSubmitJobs=5\(([0-9]+)\) ", self.call(*words, **limited).stdout)))

        self.call("scancel", f"--user={pwd.getpwuid(os.geteuid()).pw_name}")  # what earlier tests have left
        self.wait_for(count, 0)
        script = self.write("#SBATCH --output=/dev/null --hold", "true")
        job = self.submit("--array=0-2", script, **limited)
        self.test.addCleanup(self.call, "scancel", job)
        self.wait_for(count, 3)
        done = self.call("sbatch", "--parsable", "--array=0-2", script, **limited)
        self.test.assertEqual((done.returncode, done.stdout), (1, ""))
        self.test.assertEqual(
            done.stderr.splitlines(),
            [
                "sbatch: error: AssocMaxSubmitJobLimit",
                "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
                "user's size and/or time limits)",
            ],
        )
        two = self.submit("--array=0-1", script, **limited)
        self.call("scancel", two)
        self.call("scancel", job)
        self.wait_for(count, 0)

    # --- what overrides what

    def test_environment_overrides_the_script_and_words_override_both(self) -> None:
        script = self.write(
            "#SBATCH --job-name=script --array=1 --partition=big-gpu --output=o",
            "echo $SLURM_JOB_NAME $SLURM_ARRAY_TASK_ID $SLURM_JOB_PARTITION",
        )
        stray = {"SBATCH_JOB_NAME": "stray", "SBATCH_ARRAY_INX": "2", "SBATCH_PARTITION": "big-mem"}
        self.run_job(script, **stray)
        self.test.assertEqual(self.read("o"), "stray 2 big-mem\n")
        self.run_job("--job-name=word", script, **stray)
        self.test.assertEqual(self.read("o"), "word 2 big-mem\n")

    # --- questions and the end

    def test_squeue_of_an_unknown_job(self) -> None:
        done = self.call("squeue", "-h", "-j", "999999")
        self.test.assertEqual((done.returncode, done.stdout), (1, ""))
        self.test.assertEqual(done.stderr, "slurm_load_jobs error: Invalid job id specified\n")

    def test_squeue_of_an_array(self) -> None:
        job = self.submit("--array=0-1%1", self.write("#SBATCH --output=o-%a", "sleep 60"))
        self.test.addCleanup(self.wait, job)
        self.test.addCleanup(self.call, "scancel", job)
        words = ("squeue", "--noheader", "--array", f"--jobs={job}", "--format=%i|%F|%K|%T")
        expected = [f"{job}_0|{job}|0|RUNNING", f"{job}_1|{job}|1|PENDING"]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sorted(self.call(*words).stdout.splitlines()) != expected and time.monotonic() < deadline:
            time.sleep(0.02)
        self.test.assertEqual(sorted(self.call(*words).stdout.splitlines()), expected)

    def test_scancel_terminates_the_script_and_its_child(self) -> None:
        child = "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('up', flush=True); signal.pause()"
        script = self.write(
            "#SBATCH --output=o", "trap 'echo script' TERM", f'{sys.executable} -c "{child}"', 'echo "child $?"'
        )
        job = self.submit(script)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.read("o") != "up\n" and time.monotonic() < deadline:
            time.sleep(0.02)
        self.test.assertEqual(self.call("scancel", job).returncode, 0)
        self.wait(job)
        lines = [line for line in self.read("o").splitlines() if "CANCELLED AT" not in line]
        self.test.assertEqual(lines, ["up", "script", "child 3"])

    def test_scancel_of_an_unknown_job(self) -> None:
        self.test.assertEqual(self.call("scancel", "999999").returncode, 0)

    def test_sacct(self) -> None:
        job = self.run_job(self.write("#SBATCH --output=/dev/null --array=3", "exit 42"))
        self.check_accounted(job, "FAILED|42:0")
        self.test.assertEqual(self.call("sacct", "-n", "-P", "-j", "999999").stdout, "")


def parse_environment(text: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in text.splitlines())
