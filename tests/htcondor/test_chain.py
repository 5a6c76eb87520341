"""neurun, neustat, neuwait, neulog on a real HTCondor, from the words to the logs."""

from __future__ import annotations

import unittest

from neuromanager.system.quoting import quote_line
from tests.hardwords import SHORT_WORDS
from tests.htcondor.pooled import PooledCase


class ChainTest(PooledCase):
    def test_one_run(self) -> None:
        done = self.launch("--wait", "htcondor", "cpu", "bash", "-c", "echo out; echo err >&2; exit 3", code=123)
        self.assertEqual(done.stdout, "runs/x\n")
        (fact,) = self.facts().values()
        self.assertEqual((fact["state"], fact["exit_code"], fact["attempt"]), ("FAILED", 3, 1))
        self.assertEqual(fact["job"], f"{self.jobs()[0]}.0")
        self.assertEqual(self.neu("neulog", "x").stdout, "out\n")
        self.assertEqual(self.neu("neulog", "--failed", "x").lines()[-1], "err")

    def test_hard_words_are_one_cluster(self) -> None:
        show = self.files.bash("show", 'printf "%s\\0" "$#" "$@" >> "$OUT"')
        self.files.write("config.json", {"htcondor": {"cpu": {"variables": {"OUT": str(self.files.out)}}}})
        lines = "".join(f"{quote_line([show, word, 'end'])}\n" for word in SHORT_WORDS)
        launch = ("neurun", "--name=x", "--pack=4", "--wait", "htcondor", "cpu", "-")
        done = self.files.run(*launch, stdin=lines.encode("utf-8", "surrogateescape"))
        self.assertEqual(done.code, 0, done.stderr)
        self.assertEqual(sorted(self.files.shown()), sorted([word, "end"] for word in SHORT_WORDS))
        self.assertEqual(len(self.jobs()), 1)

    def test_points_variables_and_packs(self) -> None:
        self.files.write("params.json", {"lr": [0.1, 0.01], "name": ["a b", "$(Process)"]})
        text = 'echo "$NEU_INDEX $NEU_REPEAT $NEU_POINT $1"'
        sweep = ("neusweep", "--style=none", "neurun", "--name=x", "--runs=2", "--pack=3", "--pack-jobs=2", "--wait")
        self.neu(*sweep, "htcondor", "cpu", "bash", "-c", text, "-", "{name}")
        shown = [self.shown(f"runs/x/logs/x_{run}.stdout") for run in range(8)]
        self.assertEqual(shown[2], '2 0 {"lr": 0.1, "name": "$(Process)"} $(Process)\n')
        self.assertEqual(shown[7], '7 1 {"lr": 0.01, "name": "$(Process)"} $(Process)\n')
        self.assertEqual({fact["job"].partition(".")[2] for fact in self.facts().values()}, {"0", "1", "2"})


if __name__ == "__main__":
    unittest.main()
