"""Runs of this machine without neurun around them: python3 -m tests.localruns COUNT JOBS COMMAND [WORD ...].

An experiment ``t`` in runs/ of the current folder; $ATTEMPTS were started before, $LIMIT is the time limit in seconds.
The token of the launch is "now".
"""
from __future__ import annotations

import os
import sys

from neuromanager.console import die_by, say
from neuromanager.experiment import Experiment
from neuromanager.launches import held_lock, write_intent
from neuromanager.localresources import Needs
from neuromanager.manner import Manner
from neuromanager.profile import Profile
from neuromanager.runs import Run
from neuromanager.schedulers import local


def main(count: int, jobs: int, command: tuple[str, ...]) -> int:
    experiment = Experiment(os.path.join(os.getcwd(), "runs", "t"), "t")
    os.makedirs(experiment.path("logs"), exist_ok=True)
    profile = Profile("local", "cpu", "local", (), (), (), ())
    runs = [Run(number, 0, command, None) for number in range(count)]
    attempts = dict.fromkeys(range(count), int(os.environ["ATTEMPTS"])) if "ATTEMPTS" in os.environ else {}
    needs = Needs(time_limit_seconds=float(os.environ["LIMIT"]) if "LIMIT" in os.environ else None)
    with held_lock(experiment.path("lock")) as lock:
        write_intent(experiment, "now", list(range(count)), scheduler="local", name="t", profile={}, cwd="", git=None)
        try:
            return local.run_all(experiment, profile, runs, attempts, os.environ, os.environ.get("CWD", os.getcwd()),
                                 needs, None, lambda text: say("neurun", text), lock, Manner(jobs))  # fmt: skip
        except local.Stopped as stopped:
            die_by(stopped.args[0])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])))
