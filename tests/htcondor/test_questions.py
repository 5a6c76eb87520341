"""Where HTCondor's programs are asked, and what changes while they answer. No HTCondor is needed."""

from __future__ import annotations

import json
import unittest

from tests.command import Folder, Outcome

# Of any schedd but the usual one of the usual pool nothing is known.
SCHEDD = """#!/bin/bash
printf '%s\\n' "${0##*/} $*" >> "${0%/*}/calls"
case $* in *"-name far@x -pool cm.x"*) cat "${0%/*}/${0##*/}.txt" ;; esac
"""
PLACE = "-name far@x -pool cm.x"


class PlacesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.files = Folder(self, {"htcondor": {"far": {"resources": {"schedd": "far@x", "pool": "cm.x"}}}})
        for name in ("condor_q", "condor_qedit", "condor_hold", "condor_release", "condor_history"):
            self.files.write(f"bin/{name}.txt", "")
        for name in ("condor_q", "condor_qedit", "condor_hold", "condor_release", "condor_history"):
            self.files.program(f"bin/{name}", SCHEDD)
        self.files.bash("bin/condor_config_val", "exit 1")
        self.files.bash("bin/condor_submit", '[[ $* = *-dry-run* ]] || kill -9 "$$"')
        self.path = f"{self.files.path}/bin:{self.files.environment['PATH']}"

    def neu(self, *words: str) -> Outcome:
        return self.files.run(*words, PATH=self.path)

    def record(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.files.path / "runs/x/jobs.jsonl").read_text().splitlines()]

    def queue(self, **more: object) -> None:
        row = {"ClusterId": 12, "NeuToken": self.record()[0]["token"], "GlobalJobId": "far@x#12.0#1", **more}
        self.files.write("bin/condor_q.txt", json.dumps([row]))

    def calls(self) -> list[str]:
        path = self.files.path / "bin/calls"
        lines = path.read_text().splitlines()
        path.unlink()
        return lines

    def test_a_lost_job(self) -> None:
        self.files.bash("bin/condor_q", "exit 1")
        lost = self.neu("neurun", "--name=x", "--runs=3", "htcondor", "far", "true")
        self.assertEqual((lost.code, "HTCondor may have the job" in lost.stderr), (111, True), lost.stderr)
        self.files.program("bin/condor_q", SCHEDD)
        self.queue()
        found = self.neu("neurun", "--name=x", "--runs=3", "--resume", "htcondor", "far", "true")
        self.assertEqual(found.code, 0, found.stderr)
        self.assertEqual([(each.get("job"), each.get("cluster")) for each in self.record()[1:]], [("12", "far@x")])
        self.assertEqual({PLACE in call for call in self.calls()}, {True})

    def test_a_throttle(self) -> None:
        self.files.bash("bin/condor_submit", "[[ $* = *-dry-run* ]] || echo '12.0 - 12.2'")
        self.assertEqual(self.neu("neurun", "--name=x", "--runs=3", "htcondor", "far", "true").code, 0)
        self.queue(TotalSubmitProcs=3, JobMaterializeNextProcId=1)
        done = self.neu("neuthrottle", "2", "x")
        self.assertEqual(done.code, 0, done.stderr)
        calls = self.calls()
        self.assertIn(f"condor_qedit {PLACE} 12 JobMaterializeLimit 2", calls)
        self.assertEqual({PLACE in call for call in calls}, {True})

    def test_runs_that_end_while_the_queue_is_asked(self) -> None:
        """Its job is in the queue still, as one that has ended: what the records said before is no longer true."""
        self.files.bash("bin/condor_submit", "[[ $* = *-dry-run* ]] || echo '12.0 - 12.1'")
        for name, pack in (("x", 1), ("y", 2)):
            words = ("neurun", f"--name={name}", "--runs=2", f"--pack={pack}", "htcondor", "far", "true")
            self.assertEqual(self.neu(*words).code, 0)
            record = [json.loads(line) for line in self.files.read(f"runs/{name}/jobs.jsonl").splitlines()]
            jobs = ["12.0", "12.0" if pack == 2 else "12.1"]
            lines = [f"started {record[1]['submitted']} attempt=1 host=n pid=1 process=1 job={job}" for job in jobs]
            self.files.write(f"runs/{name}/{name}_0/events.txt", f"{lines[0]}\n")
            ended = "".join(
                f"mkdir -p runs/{name}/{name}_{run}; printf '%s\\n' '{lines[run]}' "
                f"'finished {record[1]['submitted']} attempt=1 exit_code=0' > runs/{name}/{name}_{run}/events.txt\n"
                for run in range(2)
            )
            row = {"ClusterId": 12, "JobStatus": 4, "ExitCode": 0, "NeuToken": record[0]["token"]}
            rows = [{**row, "ProcId": int(job[-1])} for job in dict.fromkeys(jobs)]
            self.files.bash("bin/condor_q", f"{ended}printf %s '{json.dumps(rows)}'")
            shown = [json.loads(line) for line in self.neu("neustat", "--json", name).lines()]
            self.assertEqual([(each["state"], each["reason"]) for each in shown], [("COMPLETED", None)] * 2)


if __name__ == "__main__":
    unittest.main()
