"""An option that could have no effect in this call is refused with one line, by every command, before anything is made.

Not so what tells how little to do (-q, -y, --no-pager), and what names only the default.
"""

from __future__ import annotations

import os
import unittest

from tests.command import Folder

CONFIG: dict[str, object] = {"local": {"cpu": {}}, "slurm": {"cpu": {}}}
# What is called, and what the one line begins with.
CALLS = (
    ("neurun --wait local cpu true", "--wait: local runs are waited for"),
    ("neurun --tee local cpu true", "--tee: one run at a time"),
    ("neurun --tee -j1 local cpu true", "--tee: one run at a time"),
    ("neurun -n --tee local cpu true", "--tee: one run at a time"),
    ("neurun --pack-jobs=1 slurm cpu true", "--pack-jobs: only with --pack"),
    ("neurun --resume --name=old --tag=new local cpu false", "--tag: runs/old "),
    ("neurun --resume --name=old --note=new local cpu false", "--note: runs/old "),
    ("neurerun --tee old", "--tee: one run at a time"),
    ("neurerun -n --wait old", "--dry-run and --wait exclude each other"),
    ("neulog -e -b old", "--stderr and --both exclude each other"),
    ("neucancel --state=PENDING", "--state: of which runs?"),
    ("neucancel --signal=USR1", "--signal: of which runs?"),
    ("neuget -n -f -p x old", "--dry-run and --follow exclude each other"),
    ("neuget -n --logs -p x old", "--dry-run and --logs exclude each other"),
    ("neuget -n --into=d -p x old", "--dry-run and --into exclude each other"),
    ("neuget -y --max-size=1M -p x old", "--yes and --max-size exclude each other"),
    ("neuget --as={file} -p x old", "--as: only with --into"),
    ("neutable --names --mean old", "--names: lists names"),
    ("neutable --names --csv --top=3 old", "--names: lists names"),
    ("neutable --names --check old", "--names: lists names"),
    ("neutable --names -", "-: what is read there is a table already"),
    ("neutable --files=x -", "-: what is read there is a table already"),
    ("neutable --csv --digits=3 old", "--digits and --csv exclude each other"),
    ("neutable --json --transpose old", "--transpose and --json exclude each other"),
    ("neutable --points=3 old", "--points: only with --steps"),
    ("neuplot -y a --runs --band=se old", "--band: of a mean"),
    ("neuplot -y a -x b --heat=c --band=se old", "--heat: a map has no lines"),
    ("neuplot -y a -x b --heat=c --log=x old", "--heat: a map has no lines"),
    ("neuplot -y a -f x.json -", "--files: "),
    ("neusnap -n --link=x", "--dry-run: is for what the work tree would give"),
    ("neusnap -n --prepare=true", "--dry-run: is for what the work tree would give"),
    ("neusweep -s a=1,2 --seed=3 -n true", "--seed has no effect without --sample or --shuffle"),
    ("neusweep -s a=1,2 --fail-fast -n true", "--print and --fail-fast exclude each other"),
    ("neuhost --close -c config.json h", "--config: "),
    ("neutrash --older=3d old", "--older: only with --empty"),
)


class PointlessTest(unittest.TestCase):
    def test_every_one_is_refused(self) -> None:
        folder = Folder(self, CONFIG)
        folder.run("neurun", "--name=old", "local", "cpu", "false")
        before = sorted(os.listdir(folder.path))
        for call, fault in CALLS:
            with self.subTest(call=call):
                words = call.split()
                done = folder.run(*words)
                self.assertEqual((done.code, done.stdout, len(done.errors())), (100, "", 1), done.stderr)
                self.assertTrue(done.stderr.startswith(f"{words[0]}: error: {fault}"), done.stderr)
        self.assertEqual(sorted(os.listdir(folder.path)), before)
        made = [name for name in os.listdir(folder.path / "runs") if not name.startswith(".")]
        self.assertEqual(made, ["old"])

    def test_a_resume_may_repeat_what_is_on_record(self) -> None:
        folder = Folder(self, CONFIG)
        words = ("neurun", "--resume", "--name=x", "--tag=a", "--note=why", "local", "cpu", "true")
        self.assertEqual([folder.run(*words).code for _ in range(2)], [0, 0])


if __name__ == "__main__":
    unittest.main()
