"""Writes what an HTCondor answers to our questions, for tests/htcondor/test_answers.py.

`bash tests/beds/htcondor/install.sh run python3 -m tests.beds.htcondor.record > tests/golden/htcondor/23.9.json`
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from neuromanager.htcondor.queue import history_words, queue_words
from tests.beds.htcondor.pool import find_pool

# Runs 0 to 2 end, 3 runs, 4 is held by hand, 5 is removed by hand, 6 exceeds its time, 7 is made then; 8 is not made.
_COMMAND = "case $NEU_INDEX in 0) exit 0 ;; 1) exit 3 ;; 2) kill -SEGV $$ ;; esac; sleep 1000"
_HOLD = "ProcId == 6 && JobStatus == 2 && time() - EnteredCurrentStatus > 1"


def main() -> None:
    pool, folder = find_pool(), Path(tempfile.mkdtemp())
    resources = {"request_memory": 50, "periodic_hold": _HOLD, "periodic_hold_reason": '"too long"'}
    (folder / "config.json").write_text(json.dumps({"htcondor": {"cpu": {"resources": resources}}}))
    words = ["neurun", "--name=x", "--runs=9", "--throttle=4", "htcondor", "cpu", "bash", "-c", _COMMAND]
    subprocess.run(words, cwd=folder, env={**os.environ, **pool.environ}, check=True, stdout=sys.stderr)
    token, job = (
        json.loads((folder / "runs/x/jobs.jsonl").read_text().splitlines()[1])[key] for key in ("token", "job")
    )

    def states() -> dict[int, int]:
        text = pool.ask("condor_q", "-af", "ProcId", "JobStatus")
        return {int(line.split()[0]): int(line.split()[1]) for line in text.splitlines()}

    def wait(fits: Callable[[], bool]) -> None:
        while not fits():
            time.sleep(0.2)

    wait(lambda: states().get(3) == states().get(4) == states().get(5) == 2)
    pool.ask("condor_rm", f"{job}.5")
    pool.ask("condor_hold", "-reason", "by hand", f"{job}.4")
    wait(lambda: states() == {3: 2, 4: 5, 6: 5, 7: 2})
    found = {
        "version": pool.ask("condor_version").split()[1],
        "token": token,
        "job": int(job),
        "queue": pool.ask(*queue_words((), [int(job)], (), False)),
        "factories": pool.ask(*queue_words((), [int(job)], (), True)),
        "nobody": pool.ask(*queue_words((), [int(job) + 1], (), False)),
        "history": pool.ask(*history_words((), [int(job)])),
        "log": (folder / f"runs/x/launches/{token}.log").read_text(),
    }
    pool.ask("condor_rm", "-all")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
