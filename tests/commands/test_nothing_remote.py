"""Where nothing is remote no command starts an ssh, and what it prints is the same, whatever hosts are configured."""

from __future__ import annotations

import re
import shlex
import unittest
from typing import Any

from tests.command import ROOT, Folder

CONFIG: dict[str, Any] = {"local": {"cpu": {}}, "slurm": {"gpu": {}}}
HOSTS: dict[str, Any] = {
    "cedar": {"*": {"host": "cedar", "fetch": ["*.csv"]}, "cpu": {}},
    "both": {"*": {"spread": ["cedar"]}},
}
COMMANDS = """neusweep --count
neusweep neurun --name=x local cpu ./make
neusweep neurun -n --runs=2 slurm gpu ./make
neurun --name=held --runs=3 slurm gpu ./make
neurun --resume --name=held --runs=3 slurm gpu ./make
neuset in.json lr=3 neurun --own --name=own local cpu ./make
neusnap neurun --name=snap local cpu ./make
neuattach -n slurm gpu ./make
neustat
neustat --json x
neustat held
neuwait x
neulog x
neutable x
neuplot x
neudiff x:0 x:1
neuin x pwd
neuget -p *.csv --into out x
neurerun --state=COMPLETED x:0
neuthrottle 2 held
neucancel held
neufree slurm
neuhost -c plain.json
neuimport lines lines.txt
neutrash x
neutop""".split("\n")
_CHANGES = (
    (r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "TIME"),
    (r'"elapsed_seconds": [0-9.]+', "ELAPSED"),
    (r"(?m)(?<=  )\d+s(?=  )", "AGE"),
)


class NothingRemoteTest(unittest.TestCase):
    def make_folder(self, config: object) -> Folder:
        files = Folder(self, config, {"lr": [0.1, 0.2]})
        files.bash("make", 'echo "loss $NEU_INDEX"; echo "a $NEU_INDEX" > "$NEU_RUN_DIR/a.csv"')
        files.bash("bin/ssh", f"touch {shlex.quote(f'{files.path}/ssh-was-called')}")
        files.write("plain.json", CONFIG)
        files.write("in.json", {"lr": 1})
        files.write("lines.txt", "true\n")
        (files.path / "queue").mkdir()
        path = f"{files.path}/bin:{ROOT}/tests/fake:{files.environment['PATH']}"
        files.environment.update(PATH=path, FAKE_SLURM_DIR=f"{files.path}/queue", FAKE_SLURM_RUN="0", TERM="xterm")
        return files

    def test_all_commands(self) -> None:
        self.assertEqual({line.split()[0] for line in COMMANDS}, {path.name for path in (ROOT / "bin").iterdir()})
        plain, with_hosts = self.make_folder(CONFIG), self.make_folder({**CONFIG, **HOSTS})
        for line in COMMANDS:
            shown = []
            for files in (plain, with_hosts):
                words = ["script", "-qec", line, "/dev/null"] if line == "neutop" else line.split()
                done = files.run(*words, stdin=b"q")
                text = done.stdout.replace(str(files.path).rpartition(" ")[2], "FOLDER")
                for pattern, name in _CHANGES:
                    text = re.sub(pattern, name, text)
                shown.append((done.code, "" if line == "neutop" else text))
                self.assertFalse((files.path / "ssh-was-called").exists(), line)
            with self.subTest(line=line):
                self.assertEqual(shown[0], shown[1])


if __name__ == "__main__":
    unittest.main()
