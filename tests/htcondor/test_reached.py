"""An HTCondor that is driven over ssh, from the words to the logs; each run once, whatever breaks in the middle."""

from __future__ import annotations

import json
import os
import time
import unittest

from neuromanager.system.quoting import quote_line
from neuromanager.system.times import parse_moment
from tests.command import finish, wait_until
from tests.hardwords import SHORT_WORDS
from tests.htcondor.pooled import SECONDS
from tests.htcondor.reached import ReachedCase, real


class ChainTest(ReachedCase):
    def test_hard_words_in_packs(self) -> None:
        """Exact, in one cluster; events and logs come here, and equal code is not sent again."""
        show = 'printf "%s\\0" "$#" "$@" >> "$NEU_RUN_DIR/words"; echo "$PWD"'
        self.files.bash("show", show)
        lines = "".join(f"{quote_line(['./show', word, 'end'])}\n" for word in SHORT_WORDS)
        launch = ("neurun", "--name=x", "--pack=16", "--wait", "cedar", "cpu", "-")
        done = self.files.run(*launch, stdin=lines.encode("utf-8", "surrogateescape"))
        self.assertEqual((done.code, done.stdout), (0, "runs/x\n"), done.stderr)
        for run, word in enumerate(SHORT_WORDS):
            found = (self.there() / f"x_{run}/words").read_bytes()
            self.assertEqual(found, b"\0".join(map(os.fsencode, ("2", word, "end", ""))))
        self.assertEqual(len(self.jobs()), 1)
        (code,) = (self.place / "code").iterdir()
        self.assertEqual(self.neu("neulog", "x:1").stdout, f"{code}\n")
        self.assertEqual(self.shown("runs/x/x_0/events.txt"), (self.there() / "x_0/events.txt").read_text())
        again = self.neu("neurun", "--name=y", "--wait", "cedar", "cpu", "./show", "a")
        self.assertNotIn("files of code", again.stderr)

    def test_looked_at_throttled_and_cancelled(self) -> None:
        self.launch("--runs=6", "--throttle=2", "cedar", "cpu", "./patient")
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 2, "two run")
        facts = self.facts()
        self.assertEqual({fact["reason"] for fact in facts.values() if fact["state"] == "PENDING"}, {THROTTLED})
        self.assertEqual((facts[0]["host"], facts[0]["there"]), ("cedar", str(self.there())))
        self.assertIn("cedar/cpu", self.neu("neustat").stdout)
        self.assertEqual(self.neu("neucancel", "x:0,4").stdout, "x:0,4\n")
        self.neu("neuthrottle", "0", "x")
        self.wait_for(lambda states: list(states.values()).count("RUNNING") == 4, "the others run")
        follower = self.files.start("neulog", "-f", "-e", "x:5")
        wait_until(lambda: self.begun(5), "it to begin", SECONDS)
        self.go(3, run=5)
        self.go()
        self.assertEqual(finish(follower).code, 0)
        self.assertIn("6 runs: 3 completed, 1 FAILED, 2 CANCELLED", self.neu("neuwait", "x", code=123).stderr)
        self.assertEqual([len(self.begun(run)) for run in (1, 2, 3, 4, 5)], [1, 1, 1, 0, 1])

    def test_an_end_that_only_the_event_log_has(self) -> None:
        """Its times are those of the host's zone."""
        self.launch("cedar", "cpu", "./patient")
        wait_until(lambda: self.begun(0), "it to begin", SECONDS)
        self.pool.ask("condor_rm", self.jobs()[0])
        wait_until(lambda: not self.queue(), "its end", SECONDS)
        (self.there() / "x_0/events.txt").unlink()
        fact = self.facts()[0]
        self.assertEqual((fact["state"], fact["open"]), ("CANCELLED", False))
        self.assertLess(abs(time.time() - parse_moment(fact["finished"])), 120)

    def test_what_failed_is_launched_again(self) -> None:
        body = "echo $NEU_ATTEMPT; echo why >&2; exit $((NEU_ATTEMPT == 1 ? 3 : 0))"
        self.launch("--runs=2", "--wait", "cedar", "cpu", "bash", "-c", body, code=123)
        self.assertIn("why", self.neu("neustat", "x").stdout)
        self.neu("neurerun", "--wait", "x:1")
        self.launch("--resume", "--runs=3", "--wait", "cedar", "cpu", "bash", "-c", body, code=123)
        self.assertEqual([self.facts()[run]["attempt"] for run in range(3)], [2, 2, 1])
        self.assertEqual(self.neu("neulog", "--attempt=all", "x:1").lines()[1:], ["1", "2"])
        self.assertEqual(len(self.jobs()), 3)

    def test_nodes_without_that_folder(self) -> None:
        """What HTCondor carries back to the host comes here; a second attempt has what the first one left."""
        given = {"request_memory": 50, "should_transfer_files": "YES", "transfer_input_files": "data.txt"}
        config = json.loads(self.shown("config.json"))
        self.files.write("config.json", {"cedar": {"*": config["cedar"]["*"], "cpu": {"resources": given}}})
        self.files.write("data.txt", "data\n")
        body = 'cat data.txt; pwd; cat "$NEU_RUN_DIR/left"; echo $NEU_INDEX > "$NEU_RUN_DIR/left"; exit $NEU_INDEX'
        self.launch("--runs=2", "--wait", "cedar", "cpu", "bash", "-c", body, code=123)
        data, folder = self.neu("neulog", "x:1").lines()
        self.assertEqual((data, folder.startswith(str(self.place))), ("data", False))
        self.neu("neurerun", "--wait", "x", code=123)
        self.assertEqual(self.facts()[1]["attempt"], 2)
        self.assertEqual(self.neu("neulog", "x:1").lines()[::2], ["data", "1"])
        self.assertEqual(self.neu("neulog", "--attempt=all", "x:1").lines().count("data"), 2)
        self.assertEqual(self.neu("neuget", "-p", "left", "x").lines(), ["runs/x/x_0/left", "runs/x/x_1/left"])

    def test_another_login_node(self) -> None:
        """What took the jobs is on record, and is asked where a session leads to a node with another schedd."""
        self.launch("--runs=2", "cedar", "cpu", "./patient")
        self.wait_for(lambda states: set(states.values()) == {"RUNNING"}, "they run")
        profile = self.bed.home("cedar") / ".profile"
        profile.write_text("export _CONDOR_SCHEDD_HOST=nowhere.local\n")
        self.addCleanup(profile.unlink)
        self.assertEqual(self.states(), {0: "RUNNING", 1: "RUNNING"})
        self.assertEqual(self.neu("neucancel", "x:1").stdout, "x:1\n")
        self.go()
        self.assertIn("1 completed, 1 CANCELLED", self.neu("neuwait", "x", code=123).stderr)

    def test_files(self) -> None:
        self.launch("--runs=2", "--wait", "cedar", "cpu", "bash", "-c", 'echo "$NEU_INDEX" > "$NEU_RUN_DIR/a.csv"')
        self.assertEqual(self.neu("neuget", "-p", "*.csv", "x").lines(), [f"runs/x/x_{run}/a.csv" for run in (0, 1)])
        self.assertEqual(self.shown("runs/x/x_1/a.csv"), "1\n")

    def test_around_it(self) -> None:
        self.assertRegex(self.neu("neuhost").stdout, r"^cedar: reachable, HTCondor \d+\.\d+\.\d+ answers, ")
        self.assertIn("HTCondor on cedar:", self.neu("neufree", "cedar").stdout)
        shown = self.neu("neurun", "-n", "-r", "request_memory=999999", "cedar", "cpu", "true")
        self.assertIn("no machine fits it: none has TARGET.Memory >= RequestMemory", shown.stderr)
        self.neu("neurun", "--init", "-c", "made.json", "cedar")
        made = json.loads(self.shown("made.json"))
        self.assertEqual((made["cedar"]["*"]["host"], made["cedar"]["*"]["scheduler"]), ("cedar", "htcondor"))
        self.neu("neurun", "-c", "made.json", "-r", "request_memory=50", "--wait", "cedar", "cpu", "true")

    def test_a_host_without_a_scheduler(self) -> None:
        profile = self.bed.home("cedar") / ".profile"
        names = "bash cat cut env find grep gzip head ls mkdir mv rm sed sh sort stat tail tar timeout tr xargs"
        profile.write_text(
            f'mkdir -p "$HOME/few"; for name in {names}; do ln -sf "$(command -v "$name")" "$HOME/few/"; done\n'
            'PATH="$HOME/few"\n'
        )
        self.addCleanup(profile.unlink)
        done = self.neu("neurun", "--init", "-c", "made.json", "cedar", code=111)
        self.assertIn("cedar: nothing to submit to was found there, in a login shell: Slurm or HTCondor", done.stderr)
        done = self.launch("cedar", "cpu", "true", code=111)
        self.assertIn("condor_submit: cedar: no such program there, in a login shell", done.stderr)
        self.assertFalse((self.folder / "runs").exists())

    def test_refusals_leave_nothing(self) -> None:
        before = self.files.tree()
        for words, said in (
            (("request_memroy=1",), "did you mean 'request_memory'"),
            (("notfication=never",), "cpu.resources.notfication: condor_submit does not know it; did you mean"),
            (("initialdir=/tmp",), "the code is sent to cedar"),
        ):
            done = self.launch("-r", *words, "cedar", "cpu", "true", code=100)
            self.assertEqual((len(done.errors()), said in done.stderr), (1, True), done.stderr)
        done = self.neu("neuattach", "cedar", "cpu", "bash", code=100)
        self.assertIn("HTCondor attaches no command", done.stderr)
        self.assertEqual((self.files.tree(), list(self.place.iterdir())), (before, []))


THROTTLED = "waits for its turn (throttle)"


class OutageTest(ReachedCase):
    def slow_down(self) -> None:
        """condor_submit waits for the file ``go`` there before it does anything."""
        self.gate, self.called = self.place / "go", self.place / "called"
        text = f'touch "{self.called}"; until [ -e "{self.gate}" ]; do sleep 0.02; done'
        dry = f'case "$*" in *-dry-run*) exec {real("condor_submit")} "$@" ;; esac'
        self.program_there("condor_submit", f'{dry}\n{text}\nexec {real("condor_submit")} "$@"')

    def check_once(self, runs: int = 2) -> None:
        self.neu("neuwait", "x")
        self.assertEqual([len(self.files.events("x", run)) for run in range(runs)], [2] * runs)

    def test_the_connection_ends_while_it_submits(self) -> None:
        self.slow_down()
        launching = self.files.start("neurun", "--name=x", "--runs=2", "cedar", "cpu", "true")
        wait_until(self.called.exists, "condor_submit", SECONDS)
        self.bed.cut("cedar")
        self.gate.touch()
        self.assertEqual(finish(launching).code, 0)
        self.check_once()

    def test_killed_while_it_submits(self) -> None:
        self.slow_down()
        words = ("--runs=2", "cedar", "cpu", "true")
        launching = self.files.start("neurun", "--name=x", *words)
        wait_until(self.called.exists, "condor_submit", SECONDS)
        launching.kill()
        finish(launching)
        done = self.launch("--resume", *words, code=111)
        self.assertIn("cedar: the submission is under way there", done.stderr)
        self.gate.touch()
        wait_until(lambda: list(self.there().glob("launches/*/code")), "its answer", SECONDS)
        done = self.launch("--resume", *words)
        self.assertIn("2 runs", done.stderr)
        self.assertEqual(len(self.jobs()), 1)
        self.check_once()

    def test_an_answer_that_is_no_answer(self) -> None:
        """condor_submit is killed there, before and after it has submitted."""
        submit = f'case "$*" in *-dry-run*) exec {real("condor_submit")} "$@" ;; esac\n'
        for name, text in (("before", ""), ("after", f'{real("condor_submit")} "$@" > /dev/null\n')):
            self.program_there("condor_submit", f"{submit}{text}kill -9 $$")
            done = self.neu("neurun", f"--name={name}", "cedar", "cpu", "true", code=None)
            self.assertEqual((name, done.code), (name, 0 if name == "after" else 111), done.stderr)
        self.neu("neuwait", "after")
        self.assertEqual(len(self.files.events("after")), 2)
        self.assertFalse((self.folder / "runs/before").exists())

    def test_a_frozen_schedd(self) -> None:
        self.launch("cedar", "cpu", "./patient")
        self.wait_for(lambda states: states == {0: "RUNNING"}, "it runs")
        self.program_there("condor_q", f'timeout 1 {real("condor_q")} "$@" || exit 1')
        self.neu("neuhost", "--close", "cedar", code=None)
        with self.pool.frozen():
            done = self.neu("neustat", "x")
            self.assertIn("UNKNOWN", done.stdout)
            self.assertIn("condor_q failed (1)", done.stdout + done.stderr)
            self.neu("neurerun", "x", code=111)
        self.assertEqual(len(self.jobs()), 1)
        self.go()
        self.check_once(1)

    def test_a_host_that_is_away(self) -> None:
        self.launch("cedar", "cpu", "./patient")
        self.wait_for(lambda states: states == {0: "RUNNING"}, "it runs")
        self.bed.stop_server("cedar")
        try:
            self.assertEqual(self.states(), {0: "UNKNOWN"})
            self.assertIn("cedar: ", self.neu("neurerun", "x", code=111).stderr)
        finally:
            self.bed.start("cedar")
        self.go()
        self.check_once(1)


if __name__ == "__main__":
    unittest.main()
