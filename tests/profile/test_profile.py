"""config.json + support + device -> Profile; every fault at once."""

from __future__ import annotations

import unittest
from typing import Any

from neuromanager.profile.profile import Profile, Spelling, check_own_options, is_option, resolve_profile
from neuromanager.slurm.scheduler import OWN_OPTIONS
from neuromanager.system.document import parse_json
from neuromanager.system.faults import WRONG_INPUT, Failure

CONFIG = {
    "$schema": "x",
    "x-mine": 1,
    "local": {"cpu": {}, "x-note": "no device"},
    "slurm": {
        "*": {
            "env": "module load a",
            "resources": {"time": "1-0", "mem": 8000, "exclusive": True},
            "wrap": ["nice"],
            "variables": {"A": "1", "B": "2"},
        },
        "gpu": {"resources": {"mem": "16G", "gres": "gpu:1", "time": None}, "variables": {"B": 3}},
        "cpu": {"env": ["a", "b\nc", " ", ""], "wrap": []},
    },
    "cluster": {"*": {"scheduler": "slurm"}, "gpu": {}},
    "toy": {"gpu": {}},
}


def resolve(support: str, device: str, *overrides: str, config: dict[str, Any] = CONFIG) -> Profile:
    return resolve_profile(config, support, device, overrides, "config.json")


class ResolveTest(unittest.TestCase):
    def faults(self, support: str, device: str, *overrides: str, config: dict[str, Any] = CONFIG) -> tuple[str, ...]:
        with self.assertRaises(Failure) as caught:
            resolve(support, device, *overrides, config=config)
        self.assertEqual(caught.exception.code, WRONG_INPUT)
        return caught.exception.faults

    def test_empty(self) -> None:
        self.assertEqual(resolve("local", "cpu"), Profile("local", "cpu", "local", (), (), (), ()))

    def test_own_over_shared(self) -> None:
        profile = resolve("slurm", "gpu")
        self.assertEqual(profile.env, ("module load a",))
        self.assertEqual(profile.resources, (("mem", "16G"), ("exclusive", None), ("gres", "gpu:1")))
        self.assertEqual(profile.wrap, ("nice",))
        self.assertEqual(profile.variables, (("A", "1"), ("B", "3")))
        own = resolve("slurm", "cpu")
        self.assertEqual((own.env, own.wrap), (("a", "b", "c"), ()))

    def test_scheduler(self) -> None:
        self.assertEqual(resolve("cluster", "gpu").scheduler, "slurm")
        hosts = {name: {"gpu": {"host": "cedar"}} for name in ("cedar", "htcondor")}
        self.assertEqual([resolve(name, "gpu", config=hosts).scheduler for name in hosts], ["slurm", "htcondor"])
        self.assertEqual(
            self.faults("toy", "gpu"),
            (
                "config.json: toy.gpu: 'toy' is not the name of a scheduler; "
                'add "scheduler": one of htcondor, local, slurm, to this profile or to toy."*"',
            ),
        )

    def test_numbers_keep_their_text(self) -> None:
        config, _ = parse_json('{"local": {"cpu": {"resources": {"a": 1.0, "b": 1e3}, "variables": {"C": 0.10}}}}', "c")
        profile = resolve("local", "cpu", config=config)
        self.assertEqual((profile.resources, profile.variables), ((("a", "1.0"), ("b", "1e3")), (("C", "0.10"),)))

    def test_nearest_offered(self) -> None:
        self.assertEqual(
            self.faults("slrum", "gpu"),
            ("config.json: no support 'slrum'; did you mean 'slurm'? (known: local, slurm, cluster, toy)",),
        )
        self.assertEqual(
            self.faults("slurm", "GPU"), ("config.json: slurm: no device 'GPU'; did you mean 'gpu'? (known: gpu, cpu)",)
        )
        self.assertEqual(self.faults("local", "x-note"), ("config.json: local: no device 'x-note'; known: cpu",))
        self.assertEqual(self.faults("slurm", "*"), ("config.json: slurm: no device '*'; known: gpu, cpu",))
        self.assertEqual(self.faults("x-mine", "a")[0][:32], "config.json: no support 'x-mine'")
        self.assertEqual(self.faults("a", "b", config={}), ("config.json: no support 'a'; there is none",))

    def test_overrides(self) -> None:
        profile = resolve("slurm", "gpu", "mem=1G", "exclusive=", "time=5:00", "requeue", "constraint=a=b", "nice=")
        self.assertEqual(
            dict(profile.resources),
            {"mem": "1G", "gres": "gpu:1", "time": "5:00", "requeue": None, "constraint": "a=b"},
        )
        self.assertEqual(dict(resolve("slurm", "gpu", "mem=1", "mem=2").resources)["mem"], "2")

    def test_every_fault_at_once(self) -> None:
        faults = self.faults(
            "slurm",
            "gpu",
            "--mem=1",
            "",
            "=1",
            "m em=1",
            "mem=a\nb",
            config={"slurm": {"gpu": {"resources": {"b": "", "c": "x\ty", "wrap": "x"}}}},
        )
        self.assertEqual(len(faults), 7, faults)
        for fault, part in zip(faults, (".b: an empty text", ".c: a character that does not print")):
            self.assertIn(f"config.json: slurm.gpu.resources{part}", fault)
        for fault in faults[2:6]:
            self.assertIn("write KEY=VALUE, KEY a long option", fault)

    def test_names_are_spelled_as_the_scheduler_has_them(self) -> None:
        config = {"slurm": {"gpu": {"resources": {"Mem": 1, "exclusive": False}}}}
        profile = resolve_profile(config, "slurm", "gpu", ["request_cpus=1"], "c")
        plain = Spelling(is_option, "a word")
        with self.assertRaises(Failure) as caught:
            check_own_options(profile, {}, plain, "c")
        parts = (".Mem: 'Mem' does not fit; write a word", ".request_cpus: ", ".exclusive: false means nothing")
        for fault, part in zip(caught.exception.faults, parts):
            self.assertIn(f"c: slurm.gpu.resources{part}", fault)
        self.assertEqual(len(caught.exception.faults), 3)
        check_own_options(profile, {}, plain._replace(fits=bool, false=True), "c")

    def test_what_neurun_needs_for_itself(self) -> None:
        for name, mend in OWN_OPTIONS.items():
            profile = resolve_profile({"slurm": {"gpu": {}}}, "slurm", "gpu", [f"{name}=1"], "config.json")
            with self.assertRaises(Failure) as caught:
                check_own_options(profile, OWN_OPTIONS, Spelling(is_option, "a word"), "config.json")
            self.assertEqual(caught.exception.faults, (f"config.json: slurm.gpu.resources.{name}: {mend}",))


if __name__ == "__main__":
    unittest.main()
