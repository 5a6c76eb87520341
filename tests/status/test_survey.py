"""The statuses of local runs, with real processes, and what is kept of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from neuromanager.experiment import launches, locks
from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import append_event
from neuromanager.experiment.select import Selected
from neuromanager.experiment.states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, TIMEOUT, UNKNOWN, Status
from neuromanager.status import cache, survey
from neuromanager.system.faults import Failure
from neuromanager.system.files import append_line
from neuromanager.system.procfs import read_identity
from neuromanager.system.site import HERE

PROFILE = {
    "support": "local",
    "device": "cpu",
    "scheduler": "local",
    "env": [],
    "resources": {},
    "wrap": [],
    "variables": {},
}
NOBODY = ("1", "2@nowhere")  # the pid and identity of a process that is not there


class StatusCase(unittest.TestCase):
    """A handmade experiment of local runs, launched by this very process."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        self.told: list[str] = []

    def make(self, runs: int, name: str = "try") -> Experiment:
        experiment = Experiment(str(self.folder / "runs" / name), name)
        os.makedirs(experiment.path("logs"))
        Path(experiment.path("commands.txt")).write_text("true\n" * runs)
        record = {"name": name, "runs": runs, "profile": PROFILE}
        Path(experiment.path("experiment.json")).write_text(json.dumps(record))
        return experiment

    def launch(self, experiment: Experiment, *runs: int, **changes: object) -> str:
        """An intent of ours; with ``changes``, as another process would have written it."""
        token = launches.make_token()
        launches.write_intent(
            experiment,
            token,
            list(runs),
            scheduler="local",
            name=experiment.name,
            profile=PROFILE,
            cwd=str(self.folder),
            git=None,
        )
        if changes:
            path = Path(experiment.path("jobs.jsonl"))
            *before, last = path.read_text().splitlines()
            path.write_text("\n".join([*before, json.dumps({**json.loads(last), **changes})]) + "\n")
        return token

    def gone(self) -> dict[str, object]:
        """A launcher of this boot that is there no more."""
        boot = (read_identity(os.getpid()) or "").partition("@")[2]
        return {"process": f"1@{boot}"}

    def start(
        self, experiment: Experiment, number: int, pid: int, process: str | None = None, **details: object
    ) -> None:
        os.makedirs(experiment.run_directory(number), exist_ok=True)
        append_event(
            experiment,
            number,
            "started",
            {
                "attempt": 1,
                "host": os.uname().nodename,
                "pid": pid,
                "process": process or read_identity(pid) or "",
                **details,
            },
        )

    def finish(self, experiment: Experiment, number: int, **details: object) -> None:
        append_event(experiment, number, "finished", {"attempt": 1, **details})

    def read(self, experiment: Experiment, *numbers: int) -> list[Status]:
        selected = Selected(experiment, numbers or None)
        (report,) = survey.read_reports([selected], HERE, unanswered=self.told.append)
        return report.statuses

    def assert_state(self, found: Status, state: str, is_open: bool, reason: str | None = None) -> None:
        self.assertEqual((found.state, found.open), (state, is_open), found)
        if reason is None:
            self.assertIsNone(found.reason, found)
        else:
            self.assertIn(reason, found.reason or "", found)


class LocalTest(StatusCase):
    def sleeper(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_every_way_to_end(self) -> None:
        experiment = self.make(7)
        self.launch(experiment, *range(7))
        ends: list[tuple[dict[str, object], str, str | None]] = [
            ({"exit_code": 0}, COMPLETED, None),
            ({"exit_code": 3}, FAILED, None),
            ({"signal": 11}, FAILED, None),
            ({"signal": 15, "state": "TIMEOUT"}, TIMEOUT, None),
            ({"exit_code": 0, "told": "INT"}, CANCELLED, "told to end (INT)"),
            (
                {"signal": 9, "state": "CANCELLED", "reason": "neurun was killed, and the run with it"},
                CANCELLED,
                "neurun was killed",
            ),
            ({"state": "UNKNOWN", "reason": "nobody saw it"}, UNKNOWN, "nobody saw it"),
        ]
        for number, (details, _, _) in enumerate(ends):
            self.start(experiment, number, os.getpid())
            self.finish(experiment, number, **details)
        for found, (details, state, reason) in zip(self.read(experiment), ends):
            self.assert_state(found, state, False, reason)
            self.assertEqual((found.exit_code, found.signal), (details.get("exit_code"), details.get("signal")))
            self.assertEqual((found.attempt, found.node), (1, os.uname().nodename))
            self.assertLessEqual(found.started or "", found.finished or "")

    def test_running_is_the_very_process_and_not_one_of_its_number(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1, **self.gone())
        process = self.sleeper()
        self.start(experiment, 0, process.pid)
        self.start(experiment, 1, process.pid, process=(read_identity(process.pid) or "").replace("@", "9@"))
        running, gone = self.read(experiment)
        self.assert_state(running, RUNNING, True)
        self.assertEqual(running.pid, process.pid)
        self.assert_state(gone, UNKNOWN, False, "neurun and the run are gone; no end was recorded")
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assert_state(self.read(experiment, 0)[0], UNKNOWN, False, "no end was recorded")

    def test_a_run_whose_end_the_keeper_is_writing_still_runs(self) -> None:
        experiment = self.make(1)
        token = self.launch(experiment, 0, **self.gone())
        process = self.sleeper()
        self.start(experiment, 0, process.pid)
        process.kill()
        process.wait()
        with locks.held_lock(experiment.path("lock")) as lock:
            other = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock])
            self.assert_state(self.read(experiment)[0], UNKNOWN, False, "no end was recorded")
        other.communicate()
        worker = self.sleeper()
        line = {"token": token, "worker": {"pid": worker.pid, "process": read_identity(worker.pid)}}
        append_line(experiment.path("jobs.jsonl"), json.dumps(line))
        self.assert_state(self.read(experiment)[0], RUNNING, True)
        worker.kill()
        worker.wait()
        self.assert_state(self.read(experiment)[0], UNKNOWN, False, "no end was recorded")

    def test_runs_that_wait_or_never_started(self) -> None:
        experiment = self.make(4)
        earlier = self.launch(experiment, 0, 1)
        token = self.launch(experiment, 0, 1)  # in the same second
        self.launch(experiment, 2, **self.gone())
        moment = "2026-01-01T00:00:00Z"
        Path(experiment.path("cancelled.txt")).write_text(f"1,3 {token} {moment}\n0 {earlier} {moment}\nx\n1-")
        waiting, cancelled, lost, never = self.read(experiment)
        self.assert_state(waiting, PENDING, True, "waits for its turn")
        self.assert_state(cancelled, CANCELLED, False, "cancelled by neucancel")
        self.assert_state(lost, CANCELLED, False, "was not started")
        self.assert_state(never, CANCELLED, False, "was never launched")
        self.assertEqual([found.attempt for found in (waiting, cancelled, lost, never)], [0, 0, 0, 0])

    def test_what_another_machine_runs_is_not_guessed(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1, host="elsewhere")
        self.start(experiment, 1, 1, process="7@elsewhere", host="elsewhere")
        for found in self.read(experiment):
            self.assert_state(found, UNKNOWN, True, "elsewhere; ask there")

    def test_what_another_container_of_this_host_runs_is_not_guessed_and_nothing_of_it_kept(self) -> None:
        """Seen from there, the numbers of its processes mean nothing, though the host's name may be the same."""
        experiment = self.make(2)
        self.launch(experiment, 0, 1, pid_namespace="1", **self.gone())
        self.start(experiment, 1, 4194304, process=launches.read_launches(experiment)[0].process)
        for found in self.read(experiment):
            self.assert_state(found, UNKNOWN, True, "another container of")
        self.assertFalse(os.path.exists(experiment.path("settled.json")))

    def test_that_none_was_started_is_not_kept(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0, **self.gone())
        self.assert_state(self.read(experiment)[0], CANCELLED, False, "was not started")
        self.assertFalse(os.path.exists(experiment.path("settled.json")))

    def test_a_restarted_machine_has_no_runs_of_before(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1, process=NOBODY[1])
        self.start(experiment, 0, 1, process=NOBODY[1])
        started, waiting = self.read(experiment)
        self.assert_state(started, UNKNOWN, False, "was restarted; no end was recorded")
        self.assert_state(waiting, CANCELLED, False, "was not started")

    def test_the_end_of_an_earlier_launch_says_nothing_of_this_one(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0, asked="2020-01-01T00:00:00Z", **self.gone())
        self.start(experiment, 0, 1, process=self.gone()["process"])  # type: ignore[arg-type]
        self.finish(experiment, 0, exit_code=1)
        self.assert_state(self.read(experiment)[0], FAILED, False)
        self.launch(experiment, 0)  # within the same second
        again = self.read(experiment)[0]
        self.assert_state(again, PENDING, True, "waits for its turn")
        self.assertEqual((again.attempt, again.exit_code, again.finished), (1, None, None))
        self.start(experiment, 0, os.getpid(), attempt=2)
        self.assertEqual(self.read(experiment)[0].attempt, 2)
        self.finish(experiment, 0, exit_code=0, attempt=2)
        self.assert_state(self.read(experiment)[0], COMPLETED, False)

    def test_a_refused_launch_says_why(self) -> None:
        experiment = self.make(1)
        launches.write_refusal(experiment, self.launch(experiment, 0), "sbatch failed (1): no such partition")
        self.assert_state(self.read(experiment)[0], CANCELLED, False, "no such partition")

    def test_events_that_cannot_be_read_are_no_run_that_never_started(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0)
        os.makedirs(experiment.events(0))
        self.assert_state(self.read(experiment)[0], UNKNOWN, True, "events.txt: Is a directory")

    def test_a_damaged_experiment_is_a_failure(self) -> None:
        experiment = self.make(1)
        Path(experiment.path("experiment.json")).write_text("{")
        with self.assertRaisesRegex(Failure, "experiment.json: damaged"):
            self.read(experiment)


HEIR = """
import fcntl, os, sys
sys.path.insert(0, sys.argv[2])
from neuromanager.experiment.locks import is_locked
reader, writer = os.pipe()
if os.fork() == 0:
    descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fork() == 0:
        os.close(writer)
        os.read(reader, 1)  # until we let go
    os._exit(0)
os.wait()
print(is_locked(sys.argv[1]))
own = os.open(sys.argv[1] + ".own", os.O_RDWR | os.O_CREAT)
fcntl.flock(own, fcntl.LOCK_EX)
print(is_locked(sys.argv[1] + ".own"), is_locked(sys.argv[1] + ".none"))
"""


class LockTest(StatusCase):
    def look(self, *prefix: str) -> str:
        root = str(Path(__file__).resolve().parent.parent.parent)
        words = (*prefix, sys.executable, "-c", HEIR, str(self.folder / "lock"), root)
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout

    def test_a_lock_outlives_who_took_it_and_ours_is_not_another_s(self) -> None:
        self.assertEqual(self.look(), "True\nFalse False\n")

    def test_in_a_container(self) -> None:
        within = ("unshare", "--pid", "--fork", "--mount-proc")
        try:
            subprocess.run((*within, "true"), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("optional: no pid namespace may be made here")
        self.assertEqual(self.look(*within), "True\nFalse False\n")


class SettledTest(StatusCase):
    def test_settled_runs_are_read_once_ever(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, 0, 1, 2)
        for number, code in ((0, 0), (1, 3)):
            self.start(experiment, number, os.getpid())
            self.finish(experiment, number, exit_code=code)
        first = self.read(experiment)
        for number in (0, 1):
            os.unlink(experiment.events(number))
        second = self.read(experiment)
        kept = [found._replace(pid=None, process=None) for found in first[:2]]
        self.assertEqual(second, [*kept, first[2]])
        self.assert_state(second[2], PENDING, True, "waits for its turn")
        self.launch(experiment, 1)
        self.assertEqual([found.state for found in self.read(experiment)], [COMPLETED, PENDING, PENDING])

    def test_unknown_is_never_kept(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0, **self.gone())
        self.start(experiment, 0, 1, process=NOBODY[1])
        self.assert_state(self.read(experiment)[0], UNKNOWN, False, "no end was recorded")
        self.finish(experiment, 0, exit_code=0)
        self.assert_state(self.read(experiment)[0], COMPLETED, False)

    def test_a_cache_that_is_damaged_or_cannot_be_written_is_done_without(self) -> None:
        experiment = self.make(1)
        self.launch(experiment, 0)
        self.start(experiment, 0, os.getpid())
        self.finish(experiment, 0, exit_code=0)
        for content in ("", "[]", "{}", '{"format":2,"launches":[[1]]}', '{"format":2,"launches":null}'):
            Path(experiment.path("settled.json")).write_text(content)
            self.assert_state(self.read(experiment)[0], COMPLETED, False)
        os.unlink(experiment.path("settled.json"))
        os.mkdir(experiment.path("settled.json"))
        self.assert_state(self.read(experiment)[0], COMPLETED, False)
        self.assertEqual([name for name in os.listdir(experiment.directory) if name.startswith("settled.json.")], [])

    def test_columns_that_we_would_not_write_are_none(self) -> None:
        experiment = self.make(2)
        good = [0, "FAILED", 1, 3, None, "why", "7", "n1", "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z", True]
        other = [1, *good[1:8], None, None, False]
        head = ["token", "slurm", "2026-01-02T03:04:05Z"]
        bad: tuple[object, ...] = ("COMPLETED\x9b", "", "UNKNOWN", -1, 1.5, True, [], {}, "2026-13-45T99:99:99Z")

        def read(columns: object, launch: object = head) -> list[int]:
            content = {"format": 2, "launches": [[*launch, columns], [*head, [[1], *map(list, zip(other[1:]))]]]}  # type: ignore[misc]
            Path(experiment.path("settled.json")).write_text(json.dumps(content))
            return list(cache.read_settled(experiment, {0: "token", 1: "token"}))

        columns = [list(pair) for pair in zip(good, other)]
        self.assertEqual(read(columns), [0, 1])
        found = cache.read_settled(experiment, {0: "token", 1: "token"})[0]
        self.assertEqual((found.token, found.submitted, found.open, found.node), ("token", head[2], False, "n1"))
        self.assertEqual((found.finished, found.whole_logs), (good[9], True))
        for place in range(len(good)):
            for value in bad:
                if (place in (5, 6, 7) and isinstance(value, str)) or (place, value) in ((3, -1), (10, True)):
                    continue  # any words, and any exit code
                wrong = [*columns[:place], [value, other[place]], *columns[place + 1 :]]
                self.assertEqual(read(wrong), [1], wrong)
        others: tuple[object, ...] = (columns[:-1], [*columns, [1, 1]], [[0], *columns[1:]], None, "text", {}, [])
        for short in others:
            self.assertEqual(read(short), [1], short)
        for launch in (["token", 3, head[2]], ["token", "slurm", "now"], ["token", "slurm", 3]):
            self.assertEqual(read(columns, launch), [1], launch)

    def test_only_what_cannot_change_is_kept(self) -> None:
        experiment = self.make(3)
        self.launch(experiment, 0, 1)
        self.start(experiment, 0, os.getpid())
        self.finish(experiment, 0, exit_code=0)
        self.read(experiment)
        tokens = {
            number: launch.token for number, launch in launches.find_current(launches.read_launches(experiment)).items()
        }
        self.assertEqual(list(cache.read_settled(experiment, tokens)), [0])
        self.assertEqual(cache.read_settled(experiment, {0: "another"}), {})

    def test_what_has_settled_is_not_looked_at_again_until_it_is_launched_again(self) -> None:
        experiment, memory = self.make(2), survey.Memory()
        self.launch(experiment, 0, 1)

        def look() -> survey.Report:
            return survey.read_reports([Selected(experiment, None)], HERE, memory=memory)[0]

        for number in (0, 1):
            self.assertEqual(look().statuses[number].state, PENDING)
            self.start(experiment, number, os.getpid())
            self.finish(experiment, number, exit_code=0)
        first = look()
        self.assertEqual([found.state for found in first.statuses], [COMPLETED, COMPLETED])
        os.unlink(experiment.path("settled.json"))
        for number in (0, 1):
            os.unlink(experiment.events(number))
        self.assertIs(look(), first)
        self.launch(experiment, 1)
        self.assertEqual(look().statuses[1].state, PENDING)

    def test_of_many_that_wait_the_one_that_has_begun_is_found(self) -> None:
        experiment = self.make(50)
        self.launch(experiment, *range(50))
        self.start(experiment, 33, os.getpid(), process=read_identity(os.getpid()))
        self.assertEqual([found.number for found in self.read(experiment) if found.state == RUNNING], [33])

    def test_one_selection_keeps_what_another_found(self) -> None:
        experiment = self.make(2)
        self.launch(experiment, 0, 1)
        for number in (0, 1):
            self.start(experiment, number, os.getpid())
            self.finish(experiment, number, exit_code=0)
            self.read(experiment, number)
        for number in (0, 1):
            os.unlink(experiment.events(number))
        self.assertEqual([found.state for found in self.read(experiment)], [COMPLETED, COMPLETED])


if __name__ == "__main__":
    unittest.main()
