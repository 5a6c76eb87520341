"""What this machine keeps of `resources`: CPUs, priority and memory of a run, and what is refused."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
import unittest
from collections.abc import Sequence
from pathlib import Path

from neuromanager.local.cgroups import Home, find_home
from neuromanager.local.gpus import Gpu
from neuromanager.local.resources import Needs, check_resources, count_places
from neuromanager.local.shares import read_work
from neuromanager.profile.profile import Profile
from neuromanager.system.faults import Failure
from tests.command import Folder, Outcome, finish, is_alive, pids_with, wait_until, worker_of

CPUS = sorted(os.sched_getaffinity(0))
HOG = "data = bytearray(256 << 20); data[::4096] = bytes(len(data[::4096]))"


def check(*resources: tuple[str, str | None]) -> Needs:
    profile = Profile("local", "cpu", "local", (), tuple(resources), (), ())
    return check_resources(profile, "config.json", {"PATH": ""})


class CheckTest(unittest.TestCase):
    def refuse(self, *resources: tuple[str, str | None]) -> Sequence[str]:
        with self.assertRaises(Failure) as caught:
            check(*resources)
        self.assertEqual(caught.exception.code, 100)
        return caught.exception.faults

    def test_values(self) -> None:
        self.assertEqual(check(), Needs())
        self.assertEqual(
            check(("time", "1:30"), ("cpus-per-task", "1"), ("nice", None)),
            Needs(time_limit_seconds=90, cpus=1, nice=10),
        )
        self.assertEqual(check(("nice", "19"), ("gpus", "0")), Needs(nice=19))

    def test_all_faults_at_once_each_with_its_place(self) -> None:
        faults = self.refuse(
            ("partition", "big"),
            ("time", "soon"),
            ("cpus-per-task", "100000"),
            ("mem", "much"),
            ("nice", "20"),
            ("gres", "tpu:1"),
            ("nicer", "1"),
            ("cpus", "1"),
        )
        place = "config.json: local.cpu.resources."
        known = "known: time, gres, gpus, cpus-per-task, mem, nice"
        there = len(CPUS)
        self.assertEqual(
            faults,
            (
                f"{place}partition: not supported on this machine; {known}",
                f"{place}nicer: not supported on this machine; did you mean 'nice'? ({known})",
                f"{place}cpus: not supported on this machine; did you mean 'cpus-per-task'? ({known})",
                f"{place}time: 'soon' is not a time; write 90s, 30m, 2h, 1d, "
                "or minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS",
                f"{place}cpus-per-task: 100000 asked for each run, and this machine has {there}; ask for at most that",
                f"{place}mem: 'much' is not a size; write it as 8000 (MiB), 8000M or 8G",
                f"{place}nice: '20' is not a step of priority; write 1 to 19, or true for 10",
                f"{place}gres: 'tpu:1' is not a number of GPUs; write gpu:1, gpu:TYPE:1 or gpu:0.5",
            ),
        )

    def test_values_that_say_nothing(self) -> None:
        for name, value, said in (
            ("cpus-per-task", "0", "'0' is not a number of CPUs; write 1 or more"),
            ("cpus-per-task", None, "how many? Write a number"),
            ("mem", "0", "0 is all that there is; leave mem out for no limit"),
            ("mem", "100K", "'100K' is too little to execute a program; write 1M or more"),
            ("mem", None, "write a size: 8G"),
            ("nice", "1.5", "'1.5' is not a step of priority; write 1 to 19, or true for 10"),
        ):
            with self.subTest(name=name, value=value):
                self.assertEqual(self.refuse((name, value)), (f"config.json: local.cpu.resources.{name}: {said}",))
        self.assertRegex(self.refuse(("mem", "900T"))[0], r"mem: 900T asked for each run, and this machine has [\d.]+ ")
        self.assertEqual(
            self.refuse(("gres", "gpu:1"), ("gpus", "2")),
            ("config.json: local.cpu.resources.gres and gpus ask for different GPUs; give one of them",),
        )

    def test_places(self) -> None:
        gpus = tuple(Gpu(number, f"GPU-{number}", "NVIDIA H100") for number in range(4))
        for needs, runs, jobs, places in (
            (Needs(), 100, None, 1),
            (Needs(cpus=2), 100, None, 1),
            (Needs(), 100, 3, 3),
            (Needs(gpus=1, allowed=gpus), 100, None, 4),
            (Needs(gpus=1, allowed=gpus), 2, None, 2),
            (Needs(gpus=3, allowed=gpus), 100, None, 1),
            (Needs(gpus=2, allowed=gpus), 100, None, 2),
            (Needs(gpus=0.5, allowed=gpus), 100, None, 8),
            (Needs(gpus=0.3, allowed=gpus), 100, None, 12),
            (Needs(gpus=1, allowed=gpus), 100, 2, 2),
            (Needs(gpus=1, allowed=gpus), 100, 9, 4),
        ):
            with self.subTest(needs=needs, runs=runs, jobs=jobs):
                self.assertEqual(count_places(needs, runs, jobs), places)

    def test_work_of_the_cpus(self) -> None:
        self.assertEqual(set(read_work()) & set(CPUS), set(CPUS))
        self.assertEqual(read_work("/nonexistent"), {})


class FolderTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.addCleanup(wait_until, lambda: not pids_with(f"OUT={self.folder.out}"), "the end of all")

    def run_bash(self, text: str, *options: str, **variables: str) -> Outcome:
        words = ("neurun", "--name=t", *options, "local", "cpu", "bash", "-c", text)
        return self.folder.run(*words, environ=variables)


class RunTest(FolderTest):
    def test_cpus(self) -> None:
        show = "grep Cpus_allowed_list /proc/self/status | cut -f2; echo $OMP_NUM_THREADS"
        lines = self.run_bash(show, "-r", "cpus-per-task=1").lines()
        self.assertIn(int(lines[0]), CPUS)
        self.assertEqual(lines[1], "1")
        self.folder.run("rm", "-r", "runs")
        self.assertEqual(self.run_bash(show, "-r", "cpus-per-task=1", OMP_NUM_THREADS="7").lines()[1], "7")
        self.folder.run("rm", "-r", "runs")
        whole = self.run_bash("nproc", "-r", f"cpus-per-task={len(CPUS)}").lines()
        self.assertEqual(whole, [str(len(CPUS))])
        self.folder.run("rm", "-r", "runs")
        self.folder.write("config.json", {"local": {"cpu": {"variables": {"OMP_NUM_THREADS": 5}}}})
        self.assertEqual(self.run_bash(show, "-r", "cpus-per-task=1").lines()[1], "5")

    def test_two_runs_at_once_share_no_cpu(self) -> None:
        if len(CPUS) < 2:
            self.skipTest("optional: needs two CPUs")
        self.folder.write("config.json", {"local": {"cpu": {"resources": {"cpus-per-task": 1, "gpus": 1}}}})
        self.folder.write("gpus", "".join(f"gpu {number}, GPU-{number}, NVIDIA H100\n" for number in range(2)))
        fake = Path(__file__).parent.parent / "fake"
        text = (
            "touch here.$NEU_INDEX; until [ -e here.$((1 - NEU_INDEX)) ]; do read -t 0.01 <> <(:); done; "
            "grep Cpus_allowed_list /proc/self/status | cut -f2"
        )
        done = self.run_bash(
            text,
            "--runs=2",
            FAKE_GPUS=str(self.folder.path / "gpus"),
            NEU_SLOTS=str(self.folder.path / "slots"),
            PATH=f"{fake}:{self.folder.environment['PATH']}",
        )
        self.assertEqual(done.code, 0, done.stderr)
        masks = {self.folder.read(f"runs/t/logs/t_{number}.stdout") for number in range(2)}
        self.assertEqual(len(masks), 2, masks)

    def test_nice(self) -> None:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        text = f'until [ "$(nice)" != {before} ]; do :; done; nice'  # it is made so when the program is there
        self.assertEqual(self.run_bash(text, "-r", "nice=3").lines(), [str(before + 3)])
        self.folder.run("rm", "-r", "runs")
        self.assertEqual(self.run_bash(text, "-r", "nice").lines(), [str(min(19, before + 10))])

    def test_who_may_not_go_before_others_is_refused(self) -> None:
        if os.geteuid():
            words = ["neurun"]
        else:
            words = ["setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice", "neurun"]
        if resource.getrlimit(resource.RLIMIT_NICE)[1] > 20:
            self.skipTest("optional: everybody may here")
        done = self.folder.run(*words, "-r", "nice=-5", "local", "cpu", "true")
        self.assertEqual(
            (done.code, done.errors()),
            (
                100,
                [
                    "neurun: error: config.json: local.cpu.resources.nice: -5: "
                    "only root may raise the priority; write 1 to 19"
                ],
            ),
        )
        self.assertFalse((self.folder.path / "runs").exists())


class MemoryTest(FolderTest):
    """With a control group of this machine's kernel."""

    def setUp(self) -> None:
        super().setUp()
        try:
            self.home = find_home()
        except ValueError as error:
            self.skipTest(f"optional: {error}")

    def groups(self) -> list[str]:
        """Those of this test: another neurun of this machine has its own, and its keeper lives."""
        ours = pids_with(f"OUT={self.folder.out}")
        pids = {name: int(name.split("-")[1]) for name in os.listdir(self.home.parent) if name.startswith("neurun-")}
        return [name for name, pid in pids.items() if pid in ours or not is_alive(pid)]

    def test_within_the_limit(self) -> None:
        done = self.folder.run("neurun", "--name=t", "-r", "mem=1G", "local", "cpu", "python3", "-c", HOG)
        self.assertEqual((done.code, done.errors(), self.groups()), (0, ["neurun: runs/t"], []))
        self.assertEqual(self.folder.ends("t"), ["attempt=1 exit_code=0"])

    def test_over_it_and_again_with_more(self) -> None:
        done = self.folder.run("neurun", "--name=t", "-r", "mem=100M", "local", "cpu", "python3", "-c", HOG)
        self.assertEqual(
            (done.code, done.errors()),
            (137, ["neurun: runs/t", "neurun: run 0: ended, over its 100 MiB of memory; see runs/t/logs/t_0.stderr"]),
        )
        self.assertEqual(
            self.folder.ends("t"), ["attempt=1 signal=9 state=OUT_OF_MEMORY reason='over its 100 MiB of memory'"]
        )
        self.assertIn("OUT_OF_MEMORY", self.folder.run("neustat", "t").stdout)
        again = self.folder.run("neurerun", "-r", "mem=x4", "t")
        self.assertEqual((again.code, self.folder.ends("t")[1:]), (0, ["attempt=2 exit_code=0"]), again.stderr)
        self.assertEqual(self.groups(), [])

    def test_a_helper_that_takes_too_much(self) -> None:
        """As on a cluster: what lost a part did not complete, whatever its exit code."""
        done = self.run_bash(f"python3 -c '{HOG}'; exit 0", "-r", "mem=100M")
        self.assertEqual(
            (done.code, self.folder.ends("t")),
            (123, ["attempt=1 exit_code=0 state=OUT_OF_MEMORY reason='over its 100 MiB of memory'"]),
        )

    def test_each_run_has_its_own(self) -> None:
        text = f"[ $NEU_INDEX != 1 ] || exec python3 -c '{HOG}'; grep -o neurun-.* /proc/self/cgroup | grep -c ."
        done = self.run_bash(text, "--runs=3", "-r", "mem=100M")
        self.assertEqual(done.errors()[-1], "neurun: 3 runs: 2 completed, 1 failed", done.stderr)

    def test_nothing_is_left_after_a_kill(self) -> None:
        for victim in ("worker", "keeper"):
            with self.subTest(victim=victim):
                self.folder.run("rm", "-rf", "runs", "ready")
                process = self.folder.start(
                    "neurun", "--name=t", "-r", "mem=100M", "local", "cpu", "bash", "-c", "touch ready; exec sleep 60"
                )
                wait_until((self.folder.path / "ready").exists, "the start")
                self.assertEqual(len(self.groups()), 1)
                worker = worker_of(process.pid)
                os.kill(worker if victim == "worker" else process.pid, signal.SIGKILL)
                finish(process)
                wait_until(lambda: not self.groups(), "the end of the group")

    def test_what_two_kills_left_goes_with_the_next(self) -> None:
        process = self.folder.start(
            "neurun",
            "--name=t",
            "-r",
            "mem=100M",
            "local",
            "cpu",
            "bash",
            "-c",
            "touch ready; until [ -e go ]; do read -t 0.01 <> <(:); done",
        )
        wait_until((self.folder.path / "ready").exists, "the start")
        worker = worker_of(process.pid)
        for pid, number in ((process.pid, signal.SIGSTOP), (worker, signal.SIGKILL), (process.pid, signal.SIGKILL)):
            os.kill(pid, number)
        finish(process)
        self.folder.write("go", "")
        wait_until(lambda: not pids_with(f"OUT={self.folder.out}"), "the end of the run")
        self.assertEqual(len(self.groups()), 1)
        self.assertEqual(self.folder.run("neurun", "-r", "mem=100M", "local", "cpu", "true").code, 0)
        self.assertEqual(self.groups(), [])


class HomeTest(unittest.TestCase):
    """Where groups are made, from the forms of proc_pid_cgroup(5) and proc_pid_mountinfo(5)."""

    def setUp(self) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)

    def find(self, cgroup: str, mount: str, **files: str) -> Home:
        (self.place / "cgroup").write_text(cgroup)
        (self.place / "mountinfo").write_text(f"24 1 8:1 / / rw - ext4 /dev/sda rw\n{mount}\n")
        for name, text in files.items():
            path = self.place / "fs" / name.replace("__", "/").replace("_", ".", 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return find_home(str(self.place))

    def test_version_2(self) -> None:
        mount = f"35 24 0:30 / {self.place}/fs rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
        scope = "0::/user/app/a.scope\n"
        with self.assertRaisesRegex(ValueError, "no control group here can limit memory"):
            self.find(scope, mount)
        files = {"user__app__cgroup_subtree_control": "cpu memory pids\n", "user__app__cgroup_procs": ""}
        with self.assertRaisesRegex(ValueError, "of this container cannot be seen"):
            self.find(scope, mount, **files)
        (self.place / "fs/user/app/a.scope").mkdir()
        (self.place / "fs/user/app/a.scope/cgroup.procs").touch()
        fs = f"{self.place}/fs/user/app"
        self.assertEqual(self.find(scope, mount), Home(f"{fs}/a.scope", fs, 2))
        self.assertRaisesRegex(ValueError, "no control group", self.find, "0::/\n", mount)

    def test_version_1_beside_version_2(self) -> None:
        mount = (
            f"33 24 0:29 /docker/1 {self.place}/fs/memory rw - cgroup cgroup rw,memory\n"
            f"35 24 0:30 / {self.place}/fs/unified rw - cgroup2 cgroup2 rw"
        )
        (self.place / "fs/unified").mkdir(parents=True)
        here = f"{self.place}/fs/memory"
        self.assertEqual(self.find("4:memory:/docker/1\n0::/\n", mount, memory__cgroup_procs=""), Home(here, here, 1))
        with self.assertRaisesRegex(ValueError, "of this container cannot be seen"):
            self.find("4:memory:/docker/2\n0::/\n", mount)


if __name__ == "__main__":
    unittest.main()
