"""The ten formats: what is set, and that nothing else changes; small fuzzes against readers of Python and bash."""

from __future__ import annotations

import importlib.util
import time
import unittest

from neuromanager.inputs.template import Faults, Template, guess_format
from neuromanager.inputs.values import parse_value, resolve
from tests.inputs.fuzz import fuzz

NAMELIST = """! mass = 1
&Star_Job
  show = .true.,  name = 'it''s' ! name = 2
  x(1) = 1, 2
  x(2)=7
/ mass = 3
&controls
  mass = 15d0  ! mass = 4
  path="a/b"
  list = 1,
    2
/
"""
# In the manner of MESA's test suite: work/inlist_project.
MESA = """! inlist to evolve a 15 solar mass star

! For the sake of future readers of this file (yourself included),
! ONLY include the controls you are actually using.  DO NOT include
! all of the other controls that simply have their default values.

&star_job
  ! see star/defaults/star_job.defaults

  ! begin with a pre-main sequence model
    create_pre_main_sequence_model = .true.

  ! save a model at the end of the run
    save_model_when_terminate = .false.
    save_model_filename = '15M_at_TAMS.mod'
/ ! end of star_job namelist

&eos
/ ! end of eos namelist

&kap
  ! kap options
    use_Type2_opacities = .true.
    Zbase = 0.02
/ ! end of kap namelist

&controls
  ! starting specifications
    initial_mass = 15 ! in Msun units
    initial_z = 0.02
    overshoot_f(1) = 0.014
    overshoot_f0(1)=0.004

  ! when to stop
    xa_central_lower_limit_species(1) = 'h1'
    xa_central_lower_limit(1) = 1d-3
    max_age = 1.0D10
/ ! end of controls namelist
"""
YAML = """# a: 0
a: 0.1   # a: 1
opt:
    lr: 1  # one
    names: [x, 'y, z']
    on: yes
    text: it's
    long: >
        lr: 5
    "q k": 'one'
    more: first
      second
layers:
- size: 4
  kind: relu
- size: 8
-   - 5
- 6  # it's: a
anchor: &x 1
"""


def fill(text: str, form: str, /, **values: str) -> str:
    given = {key.replace("__", "."): parse_value(value) for key, value in values.items()}
    template = Template(text, form, given)
    result = template.fill(given)
    template.prove_all(result, given)
    return result


class FormatsTest(unittest.TestCase):
    def check(self, text: str, form: str, values: dict[str, str], *changes: tuple[str, str]) -> None:
        """Exactly those places change."""
        expected = text
        for before, after in changes:
            self.assertEqual(expected.count(before), 1, before)
            expected = expected.replace(before, after)
        self.assertEqual(fill(text, form, **values), expected)
        self.assertEqual(fill(text.replace("\n", "\r\n"), form, **values), expected.replace("\n", "\r\n"))

    def refuse(self, text: str, form: str, key: str, value: str, said: str) -> None:
        with self.assertRaises(Faults) as caught:
            fill(text, form, **{key: value})
        self.assertIn(said, " ".join(caught.exception.faults))

    def test_namelist(self) -> None:
        self.check(
            NAMELIST,
            "namelist",
            {"controls__MASS": "1e-3", "show": "false", "name": "o'clock", "x(1)": "[3, 4.5]", "path": "c"},
            ("15d0", "1e-3"),
            (".true.", ".false."),
            ("'it''s'", "'o''clock'"),
            ("= 1, 2\n", "= 3, 4.5\n"),
            ('"a/b"', '"c"'),
        )
        for key, value, said in (
            ("mas", "1", "did you mean 'controls.mass'"),
            ("list", "1", "several lines"),
            ("show", "1", "true or false"),
            ("controls__mass", "a", "is a number"),
            ("controls__mass", "true", "is a number"),
            ("x(1)", "3", "is a list"),
            ("path", "3", "is a text"),
            ("path", '"a\\nb"', "several lines"),
            ("path", "null", "no such value"),
        ):
            self.refuse(NAMELIST, "namelist", key, value, said)
        self.refuse("&a\n n=1\n/\n&b\n n=2\n/\n", "namelist", "n", "3", "a.n (line 2), b.n (line 5)")

    def test_an_inlist_of_mesa(self) -> None:
        self.check(
            MESA,
            "namelist",
            {"initial_mass": "2.5", "Zbase": "1e-3", "overshoot_f(1)": "1d-2", "max_age": "5e9"},
            ("= 15 !", "= 2.5 !"),
            ("Zbase = 0.02", "Zbase = 1e-3"),
            ("0.014", "1d-2"),
            ("1.0D10", "5e9"),
        )
        self.refuse(MESA, "namelist", "initial_masse", "2", "did you mean 'controls.initial_mass'")
        self.refuse(MESA, "namelist", "overshoot_f", "2", "did you mean 'controls.overshoot_f(1)'")

    def test_yaml(self) -> None:
        self.check(
            YAML,
            "yaml",
            {
                "a": "1e-3",
                "opt__lr": "2",
                "on": "false",
                "q k": "t: #",
                "layers__0__size": "5",
                "layers__2__0": "6",
                "layers__3": "7",
            },
            ("0.1   #", "1.0e-3   #"),
            ("lr: 1 ", "lr: 2 "),
            ("on: yes", "on: no"),
            ("'one'", "'t: #'"),
            ("size: 4", "size: 5"),
            ("- 5", "- 6"),
            ("- 6  #", "- 7  #"),
        )
        self.check(YAML, "yaml", {"text": "on"}, ("text: it's", 'text: "on"'))
        self.check(YAML, "yaml", {"names": '[1, true, "no"]'}, ("[x, 'y, z']", '[1, true, "no"]'))
        for key, value, said in (
            ("size", "1", "layers.0.size"),
            ("long", "x", "several lines"),
            ("more", "x", "several lines"),
            ("anchor", "2", "an anchor"),
            ("text", "5", "is a text"),
            ("opt", "5", "no key"),
        ):
            self.refuse(YAML, "yaml", key, value, said)

    def test_json_and_toml(self) -> None:
        text = '{"a": {"lr": 1, "l": [1, {"m": "x"}]}, // c\n "b.c": true, "n": null}\n'
        self.check(
            text,
            "json",
            {"lr": "2.50", "m": '"5"', "a__l__0": "7", "b.c": "false", "n": "3"},
            ('"lr": 1', '"lr": 2.50'),
            ('"x"', '"5"'),
            ("[1,", "[7,"),
            ("true", "false"),
            ("null", "3"),
        )
        self.refuse(text, "json", "m", "5", "for a text write")
        self.refuse('{"a": 1, "a": 2}', "json", "a", "3", "twice")
        self.refuse('{"a": ', "json", "a", "3", "line 1: not JSON")
        toml = 'd = 2020-01-01\n[a."b c"]\nx = 0x10 # x = 1\ns = \'q\'\n[[t]]\nn = 1\n[[t]]\nn = """\nn = 4"""\n'
        self.check(
            toml,
            "toml",
            {"d": "2021-02-03", "x": "1e-3", "s": "a'b", "t__0__n": "2"},
            ("2020-01-01", "2021-02-03"),
            ("0x10", "1e-3"),
            ("'q'", '"a\'b"'),
            ("n = 1", "n = 2"),
        )
        self.refuse(toml, "toml", "d", "soon", "is a time")
        self.refuse(toml, "toml", "t__1__n", "soon", "several lines")

    def test_lines(self) -> None:
        ini = "[a]\nlr = 0.1 ; lr = 2\nname: 'x'\n[b]\nlr=1\nlong = 1\n  2\n"
        self.check(ini, "ini", {"a__lr": "1e-3", "name": "y z"}, ("0.1", "1e-3"), ("'x'", "'y z'"))
        self.refuse(ini, "ini", "lr", "1", "a.lr (line 2), b.lr (line 5)")
        self.refuse(ini, "ini", "long", "1", "several lines")
        self.refuse(ini, "ini", "name", "a # b", "comment")
        mdp = "; dt = 1\nref-t = 300 300 ; K\ndt      = 0.002\n"
        self.check(mdp, "mdp", {"ref_t": "310 310", "DT": "0.001"}, ("300 300", "310 310"), ("0.002", "0.001"))
        env = "export A='x'  # A=1\nB=5\nC=\"a $B\"\nD=$(date)\n"
        self.check(
            env,
            "env",
            {"A": "it's", "B": "five six", "C": "$x"},
            ("'x'", "'it'\\''s'"),
            ("5", "'five six'"),
            ('"a $B"', '"\\$x"'),
        )
        self.refuse(env, "env", "D", "x", "more than a plain value")
        header = '#define N 5 // N 6\n#define S "x"\n#define F(x) x\n'
        self.check(header, "header", {"N": "(2 * M)", "S": 'a"b'}, ("5 //", "(2 * M) //"), ('"x"', '"a\\"b"'))
        lammps = "variable T equal 300 # T\nrun 1000\nfix 1 all nvt &\n  temp 1\n"
        self.check(lammps, "lammps", {"T": "350", "run": "5"}, ("300", "350"), ("1000", "5"))
        self.refuse(lammps, "lammps", "fix", "x", "several lines")
        template = "{lr} {{x}} {lr} {other}\n"
        self.assertEqual(fill(template, "template", lr="1e-3"), "1e-3 {{x}} 1e-3 {other}\n")
        self.refuse(template, "template", "rl", "1", "did you mean 'lr'?")

    def test_all_faults_at_once(self) -> None:
        with self.assertRaises(Faults) as caught:
            Template(NAMELIST, "namelist", ["mas", "nam", "mass"])
        self.assertEqual(len(caught.exception.faults), 2)
        template = Template(NAMELIST, "namelist", ["mass", "show", "path"])
        with self.assertRaises(Faults) as caught:
            template.fill({"mass": "x", "show": parse_value("1"), "path": "fine"})
        self.assertEqual(len(caught.exception.faults), 2)

    def test_formats_by_name(self) -> None:
        for name, text, form in (
            ("a/inlist_project", "", "namelist"),
            ("x.yaml", "", "yaml"),
            ("in.lj", "", "lammps"),
            (".env", "", "env"),
            ("grompp.mdp", "", "mdp"),
            ("config.h", "", "header"),
            ("INPUT", " &control ! x\n a=1\n/\n", "namelist"),
            ("INPUT", "a = 1\n", None),
        ):
            self.assertEqual(guess_format(name, text), form, name)

    def test_values(self) -> None:
        point = {"lr": parse_value("1e-3"), "name": "a b"}
        launch = {"index": "4", "repeat": "1", "run_dir": "/r", "name": "exp"}
        texts = {
            "a": "{lr}",
            "b": "x{lr}",
            "c": "{repeat}",
            "d": "{{lr}}",
            "e": "{name}",
            "f": "{run_dir}/o",
            "g": "{x}",
        }
        found = resolve(texts, point, launch)
        self.assertEqual(found["a"], 0.001)
        self.assertEqual(
            {key: found[key] for key in "bcdefg"},
            {"b": "x1e-3", "c": 1, "d": "{lr}", "e": "a b", "f": "/r/o", "g": "{x}"},
        )


class FuzzTest(unittest.TestCase):
    COUNT, BASH = 150, 15

    def test_against_other_readers(self) -> None:
        seed = time.time_ns() % 10**6
        forms = {"json": self.COUNT, "ini": self.COUNT, "mdp": self.COUNT, "lammps": self.COUNT, "env": self.BASH}
        forms["template"] = self.COUNT
        if importlib.util.find_spec("tomllib"):
            forms["toml"] = self.COUNT
        for form, count in forms.items():
            with self.subTest(form=form, seed=seed):
                done, refused, wrong = fuzz(form, count, seed)
                self.assertEqual(wrong, [])
                self.assertGreater(done, count * 0.6, refused)


if __name__ == "__main__":
    unittest.main()
