"""The job of several runs, or of one that goes back into the queue: executed by real bash, without Slurm.

scontrol is a program that writes down what it is told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import unittest
from pathlib import Path

from neuromanager.experiment.layout import Arrangement, Requeue
from neuromanager.experiment.submission import Job
from neuromanager.profile.profile import Profile
from neuromanager.slurm.script import render_script
from neuromanager.system.quoting import render_commands
from tests.command import Folder, Outcome, finish, wait_until
from tests.hardwords import HARD_WORDS

PLAIN = Profile("slurm", "gpu", "slurm", (), (), (), ())
SCONTROL = """#!/bin/bash
echo "$*" >> told-scontrol
if [ "$1" = -o ]; then cat why 2> /dev/null || echo JobState=SIGNALING Reason=None PreemptTime=None; exit; fi
[ ! -e broken ]
"""
# Leaves with 0 when it is told with USR1; ends when the file go-N is there, with the code in it.
PROGRAM = """#!/usr/bin/env python3
import os, signal, sys, time
number = os.environ["NEU_INDEX"]
def leave(what, _):
    open("output", "w").write(f"told {what}\\n")
    sys.exit(0)
for each in (signal.SIGUSR1, signal.SIGUSR2): signal.signal(each, leave)
open("up-" + number, "a").write("up\\n")
while not os.path.exists("go-" + number): time.sleep(0.02)
sys.exit(int(open("go-" + number).read()))
"""
# Is told, and saves until the file saved is there.
SAVER = """
import os, signal, sys, time
def save(*_):
    open("saving", "w").close()
    while not os.path.exists("saved"): time.sleep(0.02)
    sys.exit(0)
signal.signal(signal.SIGUSR1, save)
open("up-0", "a").write("up\\n")
time.sleep(60)
"""


class ElementTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self)
        self.folder = self.files.path
        self.directory = self.folder / "runs" / "t-1"
        (self.directory / "logs").mkdir(parents=True)
        self.files.program("bin/scontrol", SCONTROL)
        self.files.program("program", PROGRAM)

    def make(self, arrangement: Arrangement, commands: list[tuple[str, ...]], profile: Profile = PLAIN) -> None:
        job = Job(str(self.directory), "t-1", str(self.folder), len(commands), 1, commands[0], None)
        self.files.write("runs/t-1/run.sh", render_script(profile, job, arrangement))
        (self.directory / "commands.txt").write_bytes(os.fsencode(render_commands(commands)))
        (self.directory / "jobs.jsonl").touch()

    def start(
        self, *words: str, element: int | None = None, restarts: int = 0, job: int = 100
    ) -> subprocess.Popen[bytes]:
        variables = {"SLURM_JOB_ID": str(job), "PATH": f"{self.folder}/bin:{self.files.environment['PATH']}"}
        if element is not None:
            variables.update(SLURM_ARRAY_JOB_ID=str(job), SLURM_ARRAY_TASK_ID=str(element))
        if restarts:
            variables["SLURM_RESTART_COUNT"] = str(restarts)
        return self.files.start("bash", "runs/t-1/run.sh", *words, **variables)

    def execute(self, *words: str, element: int = 0, restarts: int = 0, job: int = 100) -> Outcome:
        return finish(self.start(*words, element=element, restarts=restarts, job=job))

    def go(self, *numbers: int, code: int = 0) -> None:
        for number in numbers:
            self.files.write("go.new", str(code)).rename(self.folder / f"go-{number}")

    def wait_for(self, number: int, times: int = 1) -> None:
        path = self.folder / f"up-{number}"
        wait_until(lambda: path.exists() and path.read_text().count("up") == times, f"run {number}")

    def ends(self, number: int) -> list[str]:
        return self.files.ends("t-1", number)

    def told(self) -> list[str]:
        path = self.folder / "told-scontrol"
        return path.read_text().splitlines() if path.exists() else []

    def test_words_arrive_as_they_are(self) -> None:
        self.files.program("show", '#!/bin/bash\nprintf "%s\\0" "$@"\n')
        words = [word for word in HARD_WORDS if "\0" not in word]
        lines = [("./show", *words[first::3]) for first in range(3)]
        self.make(Arrangement(pack=3), lines)
        self.assertEqual(self.execute().code, 0)
        for number, line in enumerate(lines):
            log = (self.directory / f"logs/t-1_{number}.stdout").read_bytes()
            self.assertEqual(log, b"".join(os.fsencode(word) + b"\0" for word in line[1:]), f"run {number}")

    def test_the_runs_of_an_element(self) -> None:
        self.make(Arrangement(pack=3), [("bash", "-c", f"exit {code}") for code in (0, 4, 5, 0, 0, 0, 7)])
        self.files.write("runs/t-1/launches/abc.txt", "6 1\n3\n")
        mapped = "abc"
        for job, words, element, code, numbers in (
            (100, (), 0, 4, (0, 1, 2)),
            (100, (), 2, 7, (6,)),
            (200, (mapped,), 0, 7, (6, 1)),
            (200, (mapped,), 1, 0, (3,)),
            (200, (mapped,), 0, 7, ()),
        ):
            with self.subTest(job=job, element=element):
                before = {number: len(self.ends_or_none(number)) for number in range(7)}
                self.assertEqual(self.execute(*words, element=element, job=job).code, code)
                after = {number: len(self.ends_or_none(number)) for number in range(7)}
                self.assertEqual({number for number in after if after[number] > before[number]}, set(numbers))

    def ends_or_none(self, number: int) -> list[str]:
        return self.ends(number) if (self.directory / f"t-1_{number}/events.txt").exists() else []

    def test_each_run_has_the_whole_input(self) -> None:
        self.make(Arrangement(pack=2), [("cat",)] * 2)
        self.files.write("input", "a line\n")
        text = "SLURM_JOB_ID=100 SLURM_ARRAY_JOB_ID=100 SLURM_ARRAY_TASK_ID=0 bash runs/t-1/run.sh < input"
        self.assertEqual(self.files.shell(text).code, 0)
        for number in range(2):
            self.assertEqual((self.directory / f"logs/t-1_{number}.stdout").read_text(), "a line\n")

    def test_an_env_that_fails_ends_each_run(self) -> None:
        self.make(Arrangement(pack=2), [("true",)] * 2, PLAIN._replace(env=("false",)))
        self.assertEqual(self.execute().code, 111)
        for number in (0, 1):
            self.assertIn("exit_code=111", self.ends(number)[0])

    def test_near_the_limit_what_runs_goes_back(self) -> None:
        self.make(Arrangement(pack=3, pack_jobs=2, requeue=Requeue(2)), [("./program",)] * 3)
        self.go(0, code=3)
        job = self.start(element=0)
        self.wait_for(1)
        self.wait_for(2)
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, 3)
        self.assertEqual(self.told(), ["-o show job 100_0", "requeue 100_0"])
        self.assertEqual(
            [self.ends(number) for number in range(3)],
            [["attempt=1 exit_code=3"], *[["attempt=1 exit_code=0 told=USR1"]] * 2],
        )
        self.assertEqual(
            (self.directory / "logs/t-1_1.stderr").read_text(), "neurun: told to end: back into the queue (1 of 2)\n"
        )
        self.go(1, 2)
        self.assertEqual(self.execute(restarts=1).code, 3)
        self.assertEqual(self.files.read("up-0"), "up\n")
        self.assertEqual(self.ends(2)[-1], "attempt=2 exit_code=0")
        self.assertEqual(self.told(), ["-o show job 100_0", "requeue 100_0"])

    def test_so_many_times_and_no_more(self) -> None:
        self.make(Arrangement(requeue=Requeue(1)), [("./program",)])
        job = self.start(restarts=1)
        self.wait_for(0)
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, 143)
        self.assertEqual(self.told(), ["update JobId=100 Requeue=0", "-o show job 100"])

    def test_term_is_passed_on_and_what_is_cancelled_stays(self) -> None:
        self.make(Arrangement(requeue=Requeue(5)), [("./program",)])
        for turn, why in enumerate(
            (
                "Reason=None PreemptTime=None",
                "Reason=None PreemptTime=2026-01-01T00:00:00",
                "Reason=TimeLimit PreemptTime=None",
            ),
            1,
        ):
            self.files.write("why", f"JobState=COMPLETING {why}")
            job = self.start()
            self.wait_for(0, turn)
            group = int(self.files.read("runs/t-1/t-1_0/events.txt").split(" pid=")[-1].split()[0])
            os.killpg(group, signal.SIGTERM)  # as Slurm does: to every process of the job
            job.send_signal(signal.SIGTERM)
            self.assertEqual(finish(job).code, 143)
            self.assertEqual(self.ends(0)[-1], f"attempt={turn} exit_code=0 told=USR1")
        self.assertEqual(self.told(), ["-o show job 100", *["-o show job 100", "requeue 100"] * 2])

    def test_the_last_time_of_one_element_is_not_that_of_its_array(self) -> None:
        """The number of one of its elements is the array's."""
        self.make(Arrangement(pack=2, requeue=Requeue(1)), [("true",)] * 2)
        self.assertEqual(self.execute(restarts=1).code, 0)
        self.assertEqual(self.told(), ["update JobId=100_0 Requeue=0"])

    def test_with_another_signal(self) -> None:
        self.make(Arrangement(requeue=Requeue(5, signal="USR2")), [("./program",)])
        job = self.start()
        self.wait_for(0)
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, 143)
        self.assertEqual((self.folder / "output").read_text(), f"told {int(signal.SIGUSR2)}\n")
        self.assertEqual(self.ends(0), ["attempt=1 exit_code=0 told=USR2"])

    def test_what_does_not_heed_is_killed_in_time(self) -> None:
        self.files.bash("deaf", 'trap "" USR1\necho up > up-0\nwhile :; do sleep 0.1; done')
        self.make(Arrangement(requeue=Requeue(5, before_seconds=11)), [("./deaf",)])
        job = self.start()
        self.wait_for(0)
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, 143)
        self.assertEqual(self.told(), ["-o show job 100", "requeue 100"])
        self.assertEqual(self.ends(0), ["attempt=1 signal=9 told=USR1"])

    def test_workers_in_sessions_of_their_own_are_told_and_waited_for(self) -> None:
        """Their launcher dies of the signal, as torchrun's does."""
        self.files.write("worker.py", SAVER)
        self.files.bash("launcher", "setsid python3 worker.py & wait")
        self.make(Arrangement(requeue=Requeue(5)), [("./launcher",)])
        job = self.start()
        self.wait_for(0)
        job.send_signal(signal.SIGUSR1)
        wait_until((self.folder / "saving").exists, "the worker to save", 60)
        self.assertRaises(subprocess.TimeoutExpired, job.wait, 0.5)
        self.assertEqual(self.told(), [], "it goes back before its worker has saved")
        self.files.write("saved", "")
        self.assertEqual(finish(job).code, 143)
        self.assertEqual(self.told(), ["-o show job 100", "requeue 100"])

    def test_what_a_run_of_a_pack_leaves_behind_ends_before_the_next(self) -> None:
        self.files.bash(
            "leaver",
            "if [ $NEU_INDEX = 1 ]; then grep -q 'State:.*[RSD] ' /proc/$(< left)/status && echo > there; exit 0; fi\n"
            'setsid bash -c "trap : TERM; echo \\$\\$ > left; while :; do sleep 0.1; done" &\n'
            "until [ -s left ]; do sleep 0.02; done",
        )
        self.make(Arrangement(pack=2), [("./leaver",)] * 2)
        self.assertEqual(self.execute().code, 0)
        self.assertFalse((self.folder / "there").exists())
        self.assertEqual([self.ends(number) for number in range(2)], [["attempt=1 exit_code=0"]] * 2)

    def test_what_is_cancelled_while_it_saves_stays_cancelled(self) -> None:
        """Slurm would requeue it, from its end too."""
        self.files.bash(
            "slow",
            'trap "echo > saving; until [ -e saved ]; do sleep 0.02; done; exit" USR1\n'
            'trap "" TERM\necho up > up-0\nwhile :; do sleep 0.02; done',
        )
        self.make(Arrangement(requeue=Requeue(5)), [("./slow",)])
        job = self.start()
        self.wait_for(0)
        job.send_signal(signal.SIGUSR1)
        wait_until((self.folder / "saving").exists, "the program to save")
        self.files.write("why", "JobState=COMPLETING Reason=None PreemptTime=None")
        job.send_signal(signal.SIGTERM)
        self.files.write("saved", "")
        self.assertEqual(finish(job).code, 143)
        self.assertEqual(self.told(), ["-o show job 100"])

    def test_what_another_job_has_run_again_is_not_run_once_more(self) -> None:
        """A run that failed early in a pack, and was launched again while the pack went on, or after it had ended."""
        self.make(Arrangement(pack=3, requeue=Requeue(2)), [("./program",)] * 3)
        self.files.write("runs/t-1/launches/abc.txt", "0\n2\n")
        self.go(0, code=3)
        job = self.start(element=0)
        self.wait_for(1)
        self.go(0)
        self.assertEqual(self.execute("abc", job=200).code, 0)
        self.assertEqual(self.ends(0), ["attempt=1 exit_code=3", "attempt=2 exit_code=0"])
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, 3)
        self.go(1, 2)
        self.assertEqual(self.execute("abc", job=200, element=1).code, 0)
        self.execute(restarts=1)
        self.assertEqual([len(self.ends(number)) for number in range(3)], [2, 2, 1])
        self.execute(job=300)  # by hand
        self.assertEqual([len(self.ends(number)) for number in range(3)], [3, 3, 2])

    def test_a_run_hears_of_the_end_before_the_job_does(self) -> None:
        # The instant that it waits for that is as long as a busy machine needs.
        self.files.bash("bin/sleep", "touch asleep; until [ -e told ]; do read -t 0.02 <> <(:); done")
        self.make(Arrangement(pack=2), [("./program",)] * 2)
        job = self.start(element=0)
        self.wait_for(0)
        group = int(self.files.read("runs/t-1/t-1_0/events.txt").split(" pid=")[-1].split()[0])
        os.killpg(group, signal.SIGTERM)
        wait_until((self.folder / "asleep").exists, "the job to wait")
        job.send_signal(signal.SIGTERM)
        self.files.write("told", "")
        self.assertEqual(finish(job).code, 143)
        self.assertEqual(self.ends(0), ["attempt=1 signal=15 told=TERM"])
        self.assertFalse((self.folder / "up-1").exists())

    def test_a_job_that_is_suspended_waits_for_its_runs(self) -> None:
        self.make(Arrangement(pack=2), [("./program",)] * 2)
        self.go(1)
        job = self.start(element=0)
        self.wait_for(0)
        group = int(self.files.read("runs/t-1/t-1_0/events.txt").split(" pid=")[-1].split()[0])
        os.killpg(group, signal.SIGSTOP)
        wait_until(lambda: ") T " in Path(f"/proc/{group}/stat").read_text(), "the run to stop")
        job.send_signal(signal.SIGUSR2)  # any, so that it looks at its runs
        job.send_signal(signal.SIGHUP)  # as Linux may do
        self.assertRaises(subprocess.TimeoutExpired, job.wait, 0.5)
        os.killpg(group, signal.SIGCONT)
        self.go(0)
        self.assertEqual(finish(job).code, 0)
        self.assertEqual([self.ends(number) for number in range(2)], [["attempt=1 exit_code=0"]] * 2)

    def test_what_slurm_sends_at_once(self) -> None:
        """CONT, so that a suspended job hears it, and right after it TERM."""
        for arrangement, end in (
            (Arrangement(requeue=Requeue(5)), "attempt=1 exit_code=0 told=USR1"),
            (Arrangement(pack=2), None),
        ):
            self.setUp()
            self.make(arrangement, [("./program",)] * arrangement.pack)
            job = self.start(element=0)
            self.wait_for(0)
            job.send_signal(signal.SIGCONT)
            job.send_signal(signal.SIGTERM)
            if end is None:  # its runs get TERM from Slurm, and none is begun after it
                self.go(0)
            self.assertEqual(finish(job).code, 143, arrangement)
            self.assertEqual(self.ends(0), [end or "attempt=1 exit_code=0"])
            self.assertFalse((self.folder / "up-1").exists())

    def test_told_while_env_is_done(self) -> None:
        env = ('touch env; until [ -n "$neu_told" ]; do sleep 0.02; done',)  # the run's shell has heard of it
        self.make(Arrangement(requeue=Requeue(5)), [("./program",)], PLAIN._replace(env=env))
        job = self.start()
        wait_until((self.folder / "env").exists, "env")
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, 143)
        self.assertFalse((self.folder / "up-0").exists())
        self.assertEqual(self.told(), ["-o show job 100", "requeue 100"])
        (end,) = self.ends(0)
        self.assertIn(" told=USR1", end)

    def test_env_with_traps_of_its_own(self) -> None:
        for turn, env in enumerate(("trap - USR1 TERM", "trap 'echo theirs > theirs' USR1"), 1):
            self.make(Arrangement(requeue=Requeue(5)), [("./program",)], PLAIN._replace(env=(env,)))
            job = self.start()
            self.wait_for(0, turn)
            job.send_signal(signal.SIGUSR1)
            self.assertEqual(finish(job).code, 143)
            self.assertEqual(self.ends(0)[-1], f"attempt={turn} exit_code=0 told=USR1")
        self.assertTrue((self.folder / "theirs").exists())

    def test_a_controller_that_is_away(self) -> None:
        self.files.write("broken", "")
        self.files.program("bin/sleep", "#!/bin/bash\n")  # between the tries
        self.make(Arrangement(requeue=Requeue(5)), [("./program",)])
        job = self.start()
        self.wait_for(0)
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, 143)
        self.assertEqual(self.told(), ["-o show job 100", *["requeue 100"] * 3])
        self.assertEqual(
            (self.directory / "logs/t-1_0.stderr").read_text(),
            "neurun: told to end: back into the queue (1 of 5)\n"
            "neurun: told to end: scontrol could not put it back into the queue\n",
        )

    def test_slurm_kills_it_once_it_is_put_back(self) -> None:
        """As soon as slurmctld has the answer to requeue, slurmd kills the job, its script too."""
        self.files.program("bin/scontrol", SCONTROL + 'if [ "$1" = requeue ]; then kill -s KILL "$PPID"; fi\n')
        self.make(Arrangement(requeue=Requeue(5)), [("./program",)])
        job = self.start(restarts=1)
        self.wait_for(0)
        job.send_signal(signal.SIGUSR1)
        self.assertEqual(finish(job).code, -signal.SIGKILL)
        self.assertEqual(self.ends(0), ["attempt=1 exit_code=0 told=USR1"])
        self.assertEqual(
            (self.directory / "logs/t-1_0.stderr").read_text(), "neurun: told to end: back into the queue (2 of 5)\n"
        )


if __name__ == "__main__":
    unittest.main()
