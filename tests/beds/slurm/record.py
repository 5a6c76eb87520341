"""What a Slurm answers to the questions of neuromanager, put into files: `python3 -m tests.beds.slurm.record FOLDER`.

It boots a Slurm, brings jobs into every state that can be had, and asks with the words of the product. One minute, as
root. versions.sh runs it for each version; test_answers.py says what the answers mean. A job's name
says what became of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from neuromanager.slurm import cancel, queue, sbatch
from neuromanager.slurm.client import client_environment
from neuromanager.system.process import Answer
from tests.beds.slurm.answers import render_answer, token_of
from tests.beds.slurm.cluster import Cluster

PATIENCE_SECONDS = 60.0
UNKNOWN = "999999"
NOBODY = 65534
# Of ``scontrol show config``, what is read or may be of use; the rest says more of this machine than of Slurm.
CONFIGURED = (
    "AccountingStorageEnforce",
    "ClusterName",
    "JobRequeue",
    "KillWait",
    "MaxArraySize",
    "MaxJobCount",
    "MessageTimeout",
    "MinJobAge",
    "PreemptMode",
    "SchedulerParameters",
    "SLURM_VERSION",
)


class Recorder:
    """Asks, and writes down words and answer."""

    def __init__(self, cluster: Cluster, folder: Path, work: str) -> None:
        self.cluster, self.folder, self.work = cluster, folder, work
        self.environment = {**os.environ, **cluster.environment}
        self.jobs: dict[str, str] = {}

    def call(self, words: Sequence[str], user: int | None = None) -> Answer:
        done = subprocess.run(
            words,
            cwd="/" if user else self.work,
            env={**client_environment(self.environment), **queue.VARIABLES},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            user=user,
            timeout=PATIENCE_SECONDS,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def record(self, name: str, words: list[str], user: int | None = None) -> Answer:
        answer = self.call(words, user)
        text = render_answer(words, answer)
        for port in self.cluster.ports:
            text = text.replace(f":{port}:", ":PORT:")
        for found, shown in ((self.work, "/data"), (self.cluster.directory, "/slurm")):
            text = text.replace(found, shown)
        (self.folder / f"{name}.txt").write_text(text, encoding="utf-8")
        return answer

    def record_at_once(self, questions: dict[str, list[str]]) -> None:
        """Questions that are given up after some 10 s each."""
        children = []
        for name, words in questions.items():
            child = os.fork()
            if child == 0:
                self.record(name, words)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)

    def must(self, *words: str) -> str:
        answer = self.call(words)
        if answer.exit_code != 0:
            raise SystemExit(f"{' '.join(words)}: {answer}")
        return answer.stdout

    def submit(self, name: str, text: str, *words: str) -> str:
        """A job of that name, whose comment is its token."""
        comment = f"--comment=theirs neu:{token_of(name)}"
        self.jobs[name] = self.must(
            "sbatch", "--parsable", f"--job-name={name}", comment, "--output=/dev/null", *words, f"--wrap={text}"
        ).strip()
        return self.jobs[name]

    def state_of(self, job: str) -> str:
        return self.call(["squeue", "-h", "-t", "all", "-j", job, "-o", "%T"]).stdout.strip()

    def wait(self, job: str, *states: str) -> None:
        wait_for(lambda: self.state_of(job) in states, f"{job} {states}: {self.state_of(job)}")


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE_SECONDS:g} s: {what}")
        time.sleep(0.05)


def make_ends(bed: Recorder) -> dict[str, str]:
    """Jobs that have ended: by name, sacct's word for the state."""
    late = bed.submit("timeout", "sleep 600", "--partition=big-mem")
    bed.submit("completed", "true")
    bed.submit("failed", "exit 3")
    bed.submit("killed", "kill -9 $$")
    Path(bed.work, "file").touch()
    bed.submit("nolog", "true", f"--output={bed.work}/file/log")
    bed.submit("codes", "exit $SLURM_ARRAY_TASK_ID", "--array=0-2")
    running = bed.submit("cancelled", "sleep 600")
    bed.must("scancel", bed.submit("withdrawn", "true", "--hold"))
    bed.submit("never", "true", f"--dependency=afterok:{bed.jobs['failed']}", "--kill-on-invalid-dep=yes")
    bed.wait(running, "RUNNING")
    bed.must("scancel", running)
    bed.wait(late, "RUNNING")
    bed.must("scontrol", "update", f"jobid={late}", "EndTime=now+1")
    lost = bed.submit("node_fail", "sleep 600", "--partition=big-mem", "--no-requeue")
    bed.wait(late, "TIMEOUT")  # slurmctld looks every 30 s
    bed.wait(lost, "RUNNING")
    bed.must("scontrol", "update", "nodename=n3", "state=down", "reason=record")
    bed.wait(lost, "NODE_FAIL")
    bed.call(["scontrol", "update", "nodename=n3", "state=resume"])  # 20.11 has done so by itself, and refuses
    bed.must("scontrol", "create", "PartitionName=above", "Nodes=n3", "PriorityTier=10")
    low = bed.submit("preempted", "sleep 600", "--partition=big-mem", "--exclusive", "--no-requeue")
    bed.wait(low, "RUNNING")
    high = bed.submit("above", "sleep 600", "--partition=above", "--exclusive")
    bed.wait(low, "PREEMPTED")
    bed.wait(high, "RUNNING")
    bed.must("scancel", high)
    bed.wait(high, "CANCELLED")
    for name in ("completed", "failed", "killed", "nolog", "never"):
        bed.wait(bed.jobs[name], "COMPLETED", "FAILED", "CANCELLED")
    return {
        "completed": "COMPLETED",
        "failed": "FAILED",
        "killed": "FAILED",
        "nolog": "FAILED",
        "codes": "FAILED",
        "cancelled": "CANCELLED",
        "withdrawn": "CANCELLED",
        "never": "CANCELLED",
        "timeout": "TIMEOUT",
        "node_fail": "NODE_FAIL",
        "preempted": "PREEMPTED",
        "above": "CANCELLED",
    }


def make_open(bed: Recorder) -> None:
    """Jobs that wait or run; what goes back into the queue comes last, for it waits a few seconds only."""
    bed.submit("running", "sleep 600")
    array = bed.submit("waiting", "sleep 600", "--array=0-9%2")
    bed.submit("dependent", "true", f"--dependency=afterok:{array}", "--kill-on-invalid-dep=yes")
    bed.submit("held", "true", "--hold")
    bed.submit("steps", "true", "--hold", "--array=1-999:2")
    bed.submit("scattered", "true", "--hold", "--array=1,3,5-9,700%2")
    bed.submit("long", "true", "--hold", f"--array={','.join(str(number * number) for number in range(1, 31))}")
    part = bed.submit("part", "true", "--hold", "--array=0-3")
    bed.must("scancel", f"{part}_[1-2]")
    bed.wait(f"{array}_1", "RUNNING")
    again, pushed = (
        bed.submit("requeued", "sleep 600"),
        bed.submit("pushed", "sleep 600", "--partition=big-mem", "--exclusive"),
    )
    bed.wait(pushed, "RUNNING")
    bed.wait(again, "RUNNING")
    bed.submit("pusher", "sleep 600", "--partition=above", "--exclusive")
    bed.must("scontrol", "requeue", again)
    for job in (again, pushed):
        bed.wait(job, "PENDING")


def record_queue(bed: Recorder) -> None:
    known = {**make_ends(bed), "running": "RUNNING", "pusher": "RUNNING"}
    make_open(bed)
    jobs = sorted(bed.jobs.values(), key=int)
    bed.record("squeue", queue.squeue_words(jobs))
    bed.record("squeue-of-user", queue.squeue_words([], [os.geteuid()]))
    bed.record("squeue-unknown", queue.squeue_words([UNKNOWN]))
    bed.record("squeue-some-unknown", queue.squeue_words([bed.jobs["held"], UNKNOWN]))
    bed.record("find", sbatch.find_words())
    words = queue.sacct_words(jobs)

    def is_told() -> bool:
        rows = queue.parse_sacct(bed.call(words)).rows
        return known.items() <= {(row.name, row.state) for row in rows}

    wait_for(is_told, "sacct tells of all these states")
    bed.record("sacct", words)
    bed.record("sacct-unknown", queue.sacct_words([UNKNOWN]))


def record_submission(bed: Recorder) -> None:
    script = f"{bed.work}/run.sh"
    Path(script).write_text("#!/bin/bash\ntrue\n", encoding="ascii")
    submitted = sbatch.Submitted(script, "neu:0", array="0-1")
    for name, words in {
        "taken": sbatch.submit_words(submitted),
        "taken-again": sbatch.submit_words(submitted._replace(dependency=f"afterany:{bed.jobs['running']}")),
        "partition": ["sbatch", "--parsable", "--partition=nowhere", script],
        "account": ["sbatch", "--parsable", "--account=stranger", script],
        "time": ["sbatch", "--parsable", "--time=30-0", script],
        "gres": ["sbatch", "--parsable", "--gres=gpu:p100:5", script],
        "array-too-large": sbatch.submit_words(submitted._replace(array="0-1001")),
        "unknown-dependency": sbatch.submit_words(submitted._replace(dependency=f"afterok:{UNKNOWN}")),
        "option": ["sbatch", "--parsable", "--nonsense", script],
    }.items():
        bed.record(f"sbatch-{name}", words)
    bed.must("sacctmgr", "-i", "-Q", "modify", "account", "myproject", "set", "GrpSubmitJobs=1")
    bed.record("sbatch-limit", sbatch.submit_words(submitted))
    for kind in ("assoc", "qos"):
        bed.record(f"limits-{kind}", ["scontrol", "show", "assoc_mgr", "users=root", f"flags={kind}"])
    bed.must("sacctmgr", "-i", "-Q", "modify", "account", "myproject", "set", "GrpSubmitJobs=-1")
    bed.record("test-only", ["sbatch", "--test-only", script])
    bed.record("test-only-refused", ["sbatch", "--test-only", "--partition=nowhere", script])
    bed.record("scancel", cancel.cancel_words({bed.jobs["part"]: None, bed.jobs["scattered"]: [3, 5, 6]})[0])
    bed.record("scancel-unknown", cancel.cancel_words({UNKNOWN: None})[0])
    bed.record("scancel-unknown-element", cancel.cancel_words({bed.jobs["codes"]: [1, 7, 8]})[0])
    bed.record("scancel-signal-unknown", cancel.cancel_words({UNKNOWN: None}, signal.SIGUSR1)[0])
    bed.record("srun", ["srun", "--ntasks=1", "--", "sh", "-c", "echo out; exit 7"])
    bed.record("srun-partition", ["srun", "--ntasks=1", "--partition=nowhere", "--", "true"])


def record_configuration(bed: Recorder) -> None:
    bed.record("version", ["sbatch", "--version"])
    record_config(bed, "config")


def record_config(bed: Recorder, name: str, user: int | None = None) -> None:
    bed.record(name, ["scontrol", "show", "config"], user)
    path = bed.folder / f"{name}.txt"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = tuple(f"out:{name} " for name in CONFIGURED)
    path.write_text("".join(line for line in lines if not line.startswith("out:") or line.startswith(kept)))


def record_troubles(bed: Recorder) -> None:
    script = f"{bed.work}/run.sh"
    job = bed.jobs["running"]
    bed.cluster.stop_accounting()
    bed.record("sacct-down", queue.sacct_words([job]))
    bed.cluster.start_accounting()
    questions = {
        "sbatch": sbatch.submit_words(sbatch.Submitted(script, "neu:1")),
        "scancel": ["scancel", job],
        "squeue": queue.squeue_words([job]),
        "scontrol": ["scontrol", "show", "config"],
    }
    bed.cluster.freeze()
    bed.record_at_once({f"{name}-frozen": words for name, words in questions.items()})
    bed.cluster.thaw()
    bed.cluster.stop_controller()
    bed.record_at_once({f"{name}-down": words for name, words in questions.items()})


def record_limited(bed: Recorder) -> None:
    """Where a user may ask once a second (slurm.conf(5), rl_enable: since 23.02, and never for root)."""
    folder = bed.cluster.directory
    bed.cluster.stop_controller()
    with open(f"{folder}/slurm.conf", "a", encoding="ascii") as file:
        file.write("SlurmctldParameters=rl_enable,rl_bucket_size=1,rl_refill_rate=1,rl_refill_period=1\n")
    os.chmod(folder, 0o755)
    for name in ("slurm", "gres", "cgroup"):
        os.chmod(f"{folder}/{name}.conf", 0o644)
    bed.cluster.start_controller()
    record_config(bed, "config-limited", NOBODY)
    bed.record("squeue-limited", queue.squeue_words([], [0]), NOBODY)


def main(words: Sequence[str]) -> int:
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 100
    if os.geteuid() != 0:
        print("tests.beds.slurm.record: error: only root can ask as another user", file=sys.stderr)
        return 111
    folder = Path(words[0]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        cluster = Cluster()
        try:
            bed = Recorder(cluster, folder, work)
            record_configuration(bed)
            record_queue(bed)
            record_submission(bed)
            record_troubles(bed)
        finally:
            cluster.stop()
        cluster = Cluster(accounting=False)
        try:
            bed = Recorder(cluster, folder, work)
            bed.record("sacct-none", queue.sacct_words(["1"]))
            record_limited(bed)
        finally:
            cluster.stop()
    print(f"{folder}: {len(list(folder.iterdir()))} answers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
