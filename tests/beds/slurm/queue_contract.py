"""What squeue, sacct, scancel and scontrol promise.

slurm/test_fake_contract.py runs it on the fake, check_contract.py on the real one.

Each promise was seen on Slurm 20.11.4, 22.05.8 and 24.11.5; where these differ, that is said. The fake is a 22.05. None
asks for what only one of them does.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.beds.slurm.client import PATIENCE_SECONDS, Client

# Says that it is up, and then what it gets. The program, not the shell, which would hear of a signal only afterwards.
LISTENER = """import signal, time
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: print(signal.Signals(number).name, flush=True))
print("up", flush=True)
time.sleep(60)
"""


class QueueContract(Client):
    """The promises about jobs that exist, and about how they came to be."""

    def submit_held(self, *words: str) -> str:
        job = self.submit("--hold", "--output=/dev/null", *words)
        self.test.addCleanup(self.call, "scancel", job)
        return job

    def submit_listener(self, *words: str) -> str:
        """Returns when its program is up; its log is `o`."""
        Path(self.folder, "listen.py").write_text(LISTENER, encoding="utf-8")
        script = self.write(
            "#SBATCH --output=o --open-mode=append",
            "trap 'echo shell' USR1 USR2",
            f"{sys.executable} listen.py",
            "echo after",
        )
        job = self.submit(*words, script)
        self.test.addCleanup(self.call, "scancel", job)
        self.wait_for(lambda: "up\n" in self.read("o"), True)
        return job

    # --- squeue

    def test_what_a_job_carries(self) -> None:
        self.write("true")
        job = self.submit_held("--comment=THEIRS neu:12ab", "--job-name=a b", "job.sh", "x", "y z")
        pattern = "%i;%A;%F;%K;%T;%t;%r;%N;%S;%M;%k;%j;%Z;%o;%u"
        user = pwd.getpwuid(os.geteuid()).pw_name
        arguments = "" if self.version > (22, 5) else " x y z"
        expected = (
            f"{job};{job};{job};N/A;PENDING;PD;JobHeldUser;;N/A;0:00;THEIRS neu:12ab;a b;{self.folder};"
            f"{self.folder}/job.sh{arguments};{user}"
        )
        self.test.assertEqual(self.squeue(job, pattern), [expected])
        self.test.assertEqual(self.squeue(self.submit_held("--wrap=true"), "%k;%j;%o"), ["(null);wrap;(null)"])

    def test_words_override_the_script_and_arguments_come_through(self) -> None:
        self.write("#SBATCH --array=0-3 --comment=script --output=no", 'echo "$SLURM_ARRAY_TASK_ID $1"')
        job = self.submit("--comment=neu:0", "--array=2", f"--output={self.folder}/o-%a", "job.sh", "launches/a")
        self.wait(job)
        self.test.assertEqual(self.read("o-2"), "2 launches/a\n")
        self.test.assertEqual(self.squeue(job, "%i %k", "--states=all"), [f"{job}_2 neu:0"])

    def test_whose_jobs(self) -> None:
        job = self.submit_held("--wrap=true")
        user = pwd.getpwuid(os.geteuid()).pw_name
        for words in (["--me"], [f"--user={user}"], ["-u", f"nobody,{user}"]):
            self.test.assertIn(job, self.ask("squeue", "-h", "-o", "%i", *words), words)
        self.test.assertEqual(self.ask("squeue", "-h", "-o", "%i", "--user=nobody"), [])

    def test_times_are_those_of_the_time_zone(self) -> None:
        job = self.submit_held("--wrap=true")
        before = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - 60))
        after = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1))
        found = self.squeue(job, "%V", TZ="UTC", SLURM_TIME_FORMAT="standard")[0]
        self.test.assertTrue(before <= found <= after, found)
        [other] = self.squeue(job, "%V", TZ="UTC-9")
        self.test.assertEqual(int(other[11:13]), (int(found[11:13]) + 9) % 24)

    def test_states_in_the_end(self) -> None:
        killed = "RaisedSignal:9(Killed)" if self.version > (22, 5) else "JobLaunchFailure"
        ends = {"true": "COMPLETED;None", "exit 3": "FAILED;NonZeroExitCode", "kill -9 $$": f"FAILED;{killed}"}
        jobs = {self.submit("--output=/dev/null", f"--wrap={text}"): end for text, end in ends.items()}
        for job in jobs:
            self.wait(job)
        held, running = self.submit_held("--wrap=true"), self.submit_listener()
        self.ask("scancel", held, running)
        self.wait(running)
        jobs.update({held: "CANCELLED;JobHeldUser", running: "CANCELLED;None"})
        expected = sorted(f"{job};{end}" for job, end in jobs.items())
        self.test.assertEqual(self.squeue(",".join(jobs), "%i;%T;%r", "--states=all"), expected)
        self.test.assertEqual(self.squeue(",".join(jobs), "%i"), [])
        self.test.assertEqual(
            self.squeue(",".join(jobs), "%i", "-t", "COMPLETED,CA"),
            sorted(job for job, end in jobs.items() if end[0] == "C"),
        )

    def test_a_waiting_array_is_one_line_unless_expanded(self) -> None:
        for expression, shown in (("1,3,5-9,700%2", "1,3,5-9,700%2"), ("1-999:2", "1-999:2"), ("0-8:2", "0,2,4,6,8")):
            job = self.submit_held(f"--array={expression}", "--wrap=true")
            self.test.assertEqual(self.squeue(job, "%i;%K;%F;%A"), [f"{job}_[{shown}];{shown};{job};{job}"])
        job = self.submit_held("--array=1,3,5-7%2", "--wrap=true")
        expected = sorted(f"{job}_{index};{index};{job};{job}" for index in (1, 3, 5, 6, 7))
        self.test.assertEqual(self.squeue(job, "%i;%K;%F;%A", "--array"), expected)

    def test_a_long_list_is_cut_unless_told(self) -> None:
        indices = ",".join(str(index * index) for index in range(1, 31))
        job = self.submit_held(f"--array={indices}", "--wrap=true")
        for limit, shown in (("", 60), ("0", len(indices)), ("20", 16)):
            variables = {"SLURM_BITSTR_LEN": limit} if limit else {}
            full = "1,4,9" + indices[5:]
            expected = full if shown == len(indices) else full[:shown] + "..."
            self.test.assertEqual(self.squeue(job, "%K", **variables), [expected], limit)

    def test_several_jobs_some_unknown(self) -> None:
        job = self.submit_held("--wrap=true")
        self.test.assertEqual(self.squeue(f"{job},999999", "%i"), [job])
        self.test.assertEqual(self.squeue("999998,999999", "%i"), [])
        array = self.submit_held("--array=0-3", "--wrap=true")
        self.test.assertEqual(self.squeue(f"{array}_1,{array}_3,{array}_9", "%i", "-r"), [f"{array}_1", f"{array}_3"])

    def test_questions_that_are_refused(self) -> None:
        for words, code, last in (
            (["-j", "x"], 1, "squeue: error: Invalid job id: x"),
            (["--nonsense"], 1, 'Try "squeue --help" for more information'),
        ):
            done = self.call("squeue", "-h", *words)
            self.test.assertEqual((done.returncode, done.stdout), (code, ""), words)
            self.test.assertEqual(done.stderr.strip().splitlines()[-1], last)
        done = self.call("squeue", "-h", "-t", "nonsense")
        self.test.assertEqual(done.returncode, 1)
        self.test.assertIn("Invalid job state specified: nonsense", done.stderr)
        done = self.call("squeue", "-h", "-u", "no-such-user")
        self.test.assertEqual((done.returncode, done.stderr), (0, "squeue: error: Invalid user: no-such-user\n\n"))

    # --- scancel

    def test_part_of_a_waiting_array_is_forgotten_when_cancelled(self) -> None:
        job = self.submit_held("--array=1-9", "--wrap=true")
        self.ask("scancel", f"{job}_[1-3,7]", f"{job}_9")
        expected = [f"{job}_{index} PENDING" for index in (4, 5, 6, 8)]
        self.test.assertEqual(self.squeue(job, "%i %T", "-r", "--states=all"), expected)
        self.ask("scancel", job)
        expected = [f"{job}_{index} CANCELLED" for index in (4, 5, 6, 8)]
        self.test.assertEqual(self.squeue(job, "%i %T", "-r", "--states=all"), expected)

    def test_the_last_part_of_a_waiting_array_leaves_a_row_without_elements(self) -> None:
        job = self.submit_held("--array=0-3", "--wrap=true")
        self.ask("scancel", f"{job}_[0-1]")
        self.ask("scancel", f"{job}_[2-3]")
        self.test.assertEqual(self.squeue(job, "%i %T %K", "-r", "--states=all"), [f"{job} CANCELLED N/A"])

    def test_scancel_with_a_state_takes_all_that_waits_in_the_array(self) -> None:
        job = self.submit_held("--array=0-3", "--wrap=true")
        self.ask("scancel", "--state=RUNNING", f"{job}_1")
        self.test.assertEqual(len(self.squeue(job, "%i", "-r")), 4)
        self.ask("scancel", "--state=PENDING", f"{job}_1")
        left = [f"{job}_{index} PENDING {index}" for index in (0, 2, 3)]  # mended there
        self.test.assertEqual(
            self.squeue(job, "%i %T %K", "-r", "--states=all"),
            left if self.version > (22, 5) else [f"{job} CANCELLED N/A"],
        )

    def test_scancel_by_state_and_by_name(self) -> None:
        self.write("sleep 60")
        job = self.submit("--array=0-3%1", "--job-name=mine", "--output=/dev/null", "job.sh")
        self.test.addCleanup(self.call, "scancel", job)
        self.wait_for(lambda: self.squeue(f"{job}_0", "%T"), ["RUNNING"])
        self.ask("scancel", "--state=PENDING", job)
        self.test.assertEqual(self.squeue(job, "%i %T", "-r"), [f"{job}_0 RUNNING"])
        self.ask("scancel", "--name=mine")
        self.wait(job)
        self.test.assertEqual(self.squeue(f"{job}_0", "%T", "--states=all"), ["CANCELLED"])

    def test_signals(self) -> None:
        job = self.submit_listener()
        self.ask("scancel", "--signal=USR1", job)  # to the steps that srun made, and there are none
        self.ask("scancel", "--signal=12", "--batch", job)
        self.ask("scancel", "--signal=SIGUSR1", "--full", job)
        self.wait_for(lambda: self.read("o"), "up\nSIGUSR1\n")
        self.test.assertEqual(self.squeue(job, "%T"), ["RUNNING"])
        self.ask("scancel", "--signal=KILL", job)
        self.wait(job)
        self.test.assertEqual(self.squeue(job, "%T", "--states=all"), ["CANCELLED"])

    def test_signals_of_jobs_that_do_not_run(self) -> None:
        done = self.call("scancel", "--signal=USR1", "999999")
        expected = "scancel: error: Kill job error on job id 999999: Invalid job id specified\n"
        self.test.assertEqual((done.returncode, done.stderr), (1, expected))
        held = self.submit_held("--wrap=true")
        self.ask("scancel", "--signal=USR1", "--state=RUNNING", held)
        with self.test.assertRaises(subprocess.TimeoutExpired):  # it waits for the job to begin, 95 s at the most
            subprocess.run(
                ["scancel", "--signal=USR1", held], env={**os.environ, **self.environment}, timeout=1, check=False
            )

    def test_the_log_says_that_a_job_was_cancelled(self) -> None:
        job = self.submit_listener()
        self.ask("scancel", job)
        self.wait(job)
        pattern = rf"error: \*\*\* JOB {job} ON n\d CANCELLED AT 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d \*\*\*$"
        self.test.assertRegex(self.read("o").splitlines()[1], r"^slurmstepd(-n\d)?: " + pattern)

    def test_scancel_of_nothing_and_of_what_has_ended(self) -> None:
        job = self.run_job("--output=/dev/null", "--wrap=true")
        self.ask("scancel", job, f"{job}_4", "999999_[1-3]")
        for words, last in (
            ([], "scancel: error: No job identification provided"),
            (["x"], "scancel: error: Invalid job id x"),
            (["-s", "NONSENSE", job], "Unknown job signal: NONSENSE"),
            (["-t", "NONSENSE", job], "Valid job states are PENDING, RUNNING, and SUSPENDED"),
        ):
            done = self.call("scancel", *words)
            self.test.assertEqual((done.returncode, done.stderr.splitlines()[-1]), (1, last))

    # --- sacct

    def test_sacct_fields(self) -> None:
        fields = "JobID,State,ExitCode,Submit,Start,End,NodeList,JobName,Comment"
        script = self.write("#SBATCH --output=/dev/null --array=0,3 --comment=neu:1", 'exit "$SLURM_ARRAY_TASK_ID"')
        job = self.run_job("--job-name=a|b", script)

        def find() -> list[str]:
            lines = self.ask("sacct", "-X", "-n", "-P", "--delimiter=\x1f", "-o", fields, "-j", job, TZ="UTC")
            return [
                "\x1f".join(value for place, value in enumerate(line.split("\x1f")) if place not in (3, 4, 5, 6))
                for line in lines
            ]

        ends = (f"{job}_0\x1fCOMPLETED\x1f0:0", f"{job}_3\x1fFAILED\x1f3:0")
        self.wait_for(find, [f"{end}\x1fa|b\x1fneu:1" for end in ends])
        day = time.strftime("%Y-%m-%dT%H:", time.gmtime())
        [line] = self.ask("sacct", "-X", "-n", "-P", "-o", "Submit,Start,End,NodeList", "-j", f"{job}_3", TZ="UTC")
        for value in line.split("|")[:3]:
            self.test.assertLess(abs(int(value[11:13]) - int(day[11:13])) % 23, 2, line)
        self.test.assertRegex(line, r"\|n[12]$")
        self.test.assertEqual(
            self.ask("sacct", "-X", "-P", "-o", "State,Comment", "-j", f"{job}_0"), ["COMPLETED|neu:1", "State|Comment"]
        )

    def test_sacct_of_cancelled_jobs(self) -> None:
        held, running = self.submit_held("--wrap=true"), self.submit_listener()
        self.ask("scancel", held, running)
        self.wait(running)
        by = f"CANCELLED by {os.geteuid()}|0:0"
        words = ("sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode,JobName", "-j", f"{held},{running}")
        self.wait_for(lambda: self.ask(*words), sorted([f"{held}|{by}|wrap", f"{running}|{by}|job.sh"]))
        without = self.ask("sacct", "-X", "-n", "-P", "-o", "JobID")
        self.test.assertEqual((held in without, running in without), (False, True))
        later = self.ask("sacct", "-X", "-n", "-P", "-o", "JobID", "-S", time.strftime("%Y-%m-%dT00:00:00"))
        self.test.assertIn(running, later)

    def test_sacct_refusals(self) -> None:
        for words, last in (
            (["-o", "Nonsense", "-j", "1"], 'sacct: error: Invalid field requested: "Nonsense"'),
            (["-j", "x"], "sacct: fatal: Bad job/step specified: x"),
        ):
            done = self.call("sacct", "-X", "-n", "-P", *words)
            self.test.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", f"{last}\n"))

    # --- scontrol

    def test_configuration(self) -> None:
        lines = self.ask("scontrol", "show", "config")
        for name, value in (
            ("MaxArraySize", "1001"),
            ("MaxJobCount", "10000"),
            ("ClusterName", "testbed"),
            ("MinJobAge", "300 sec"),
            ("JobRequeue", "1"),
        ):
            self.test.assertIn(f"{name:<23} = {value}", lines)

    def test_hold_and_release(self) -> None:
        self.write(
            "echo $SLURM_ARRAY_TASK_ID", "while [ $SLURM_ARRAY_TASK_ID = 0 ] && [ ! -e go ]; do sleep 0.02; done"
        )
        job = self.submit("--array=0-1%1", "--output=o-%a", "job.sh")
        self.wait_for(lambda: self.squeue(f"{job}_0", "%T"), ["RUNNING"])
        self.ask("scontrol", "hold", f"{job}_1")
        reason = "JobHeldUser" if os.geteuid() else "JobHeldAdmin"
        self.wait_for(lambda: self.squeue(f"{job}_1", "%T;%r", "-r"), [f"PENDING;{reason}"])
        Path(self.folder, "go").touch()
        self.wait_for(lambda: self.squeue(f"{job}_0", "%T", "-r", "-t", "all"), ["COMPLETED"])
        self.test.assertFalse(Path(self.folder, "o-1").exists())
        self.ask("scontrol", "release", f"{job}_1")
        self.wait(job)
        self.test.assertEqual(self.read("o-1"), "1\n")
        done = self.call("scontrol", "requeue", "999999")
        self.test.assertEqual((done.returncode, done.stderr), (1, "Invalid job id specified for job 999999\n"))

    def test_requeue(self) -> None:
        ended = self.run_job("--output=r", "--open-mode=append", "--wrap=echo ${SLURM_RESTART_COUNT-first}")
        job = self.submit_listener()
        for each in (job, ended):
            self.ask("scontrol", "requeue", each)
            self.wait_for(lambda each=each: self.squeue(each, "%T;%r;%N"), ["PENDING;BeginTime;"])  # type: ignore[misc]
        self.wait_for(lambda: self.read("o").count("up\n"), 2)
        self.wait(ended)
        self.test.assertEqual(self.read("r"), "first\n1\n")
        self.test.assertIn(" DUE TO JOB REQUEUE ***\n", self.read("o"))

    # --- the client and the job

    def test_a_list_of_indices_that_is_too_long(self) -> None:
        indices = ",".join(str(index) for index in range(2, 1000, 2) for _ in "12")[:4095].rpartition(",")[0]
        self.submit_held(f"--array={indices}", "--wrap=true")
        refused = indices + "," + ",".join(["1000"] * ((4096 - len(indices)) // 5 + 1))
        last = "Batch job submission failed: Pathname of a file, directory or other parameter too long"
        self.check_refusal([f"--array={refused}", "--wrap=true"], 1, f"sbatch: error: {last}")

    def test_many_clients_at_once(self) -> None:
        self.write("#SBATCH --array=0-1 --output=/dev/null", f'touch "{self.folder}/$SLURM_JOB_ID"')
        clients = [
            subprocess.Popen(
                ["sbatch", "--parsable", "job.sh"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                env={**os.environ, **self.environment},
            )
            for _ in range(12)
        ]
        jobs = [client.communicate(timeout=PATIENCE_SECONDS)[0].decode().strip() for client in clients]
        self.test.assertEqual([client.returncode for client in clients], [0] * 12)
        for job in jobs:
            self.wait(job)
        ran = [name for name in os.listdir(self.folder) if name.isdigit()]
        self.test.assertEqual((len(set(jobs)), len(ran)), (12, 24))

    def test_a_job_is_taken_whole_or_not_at_all(self) -> None:
        """SIGKILL of the client at any instant."""
        generator = random.Random(seed := int(os.environ.get("NEU_SEED", "4")))
        self.write(f"#SBATCH --array=0-1 --output={self.folder}/o-%A-%a --job-name=kills", "echo ran")
        words = ["sbatch", "--parsable", "job.sh"]
        answers = 0
        for _ in range(20):
            with subprocess.Popen(
                words,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                start_new_session=True,
            ) as client:
                time.sleep(generator.uniform(0, 0.06))  # the instant is what this test is about
                os.killpg(client.pid, signal.SIGKILL)
                assert client.stdout is not None
                answers += bool(client.stdout.read())
        words = ["squeue", "-h", "-r", "--name=kills", "-o", "%F-%K"]
        self.wait_for(lambda: self.ask(*words), [])
        expected = [f"o-{line}" for line in self.ask(*words, "--states=all")]
        self.wait_for(lambda: sorted(name for name in os.listdir(self.folder) if name[:2] == "o-"), expected)
        self.test.assertGreaterEqual(len(expected), 2 * answers, f"NEU_SEED={seed}")
        self.test.assertEqual({self.read(name) for name in expected} | {"ran\n"}, {"ran\n"}, f"NEU_SEED={seed}")

    def test_the_job_does_not_hold_what_its_client_held(self) -> None:
        with open(f"{self.folder}/lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            job = (
                subprocess.run(
                    ["sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 60"],
                    check=True,
                    cwd=self.folder,
                    env={**os.environ, **self.environment},
                    stdout=subprocess.PIPE,
                    pass_fds=[lock.fileno()],
                )
                .stdout.decode()
                .strip()
            )
        self.test.addCleanup(self.call, "scancel", job)
        self.wait_for(lambda: self.squeue(job, "%T"), ["RUNNING"])
        with open(f"{self.folder}/lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
