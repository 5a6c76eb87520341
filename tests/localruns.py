"""Runs of this machine without neurun around them: python3 -m tests.localruns COUNT JOBS COMMAND [WORD ...].

An experiment ``t`` in runs/ of the current folder; $ATTEMPTS were started before, $LIMIT is the time limit in seconds.
The token of the launch is "now".
"""

from __future__ import annotations

import os
import sys

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.launches import write_intent
from neuromanager.experiment.locks import held_lock
from neuromanager.experiment.runs import Run
from neuromanager.local import run
from neuromanager.local.options import Manner
from neuromanager.local.resources import Needs
from neuromanager.profile.profile import Profile
from neuromanager.terminal.console import die_by, speak_as


def main(count: int, jobs: int, command: tuple[str, ...]) -> int:
    speak_as("neurun")
    experiment = Experiment(os.path.join(os.getcwd(), "runs", "t"), "t")
    os.makedirs(experiment.path("logs"), exist_ok=True)
    profile = Profile("local", "cpu", "local", (), (), (), ())
    runs = [Run(number, 0, command, None) for number in range(count)]
    attempts = dict.fromkeys(range(count), int(os.environ["ATTEMPTS"])) if "ATTEMPTS" in os.environ else {}
    needs = Needs(time_limit_seconds=float(os.environ["LIMIT"]) if "LIMIT" in os.environ else None)
    with held_lock(experiment.path("lock")) as lock:
        write_intent(experiment, "now", list(range(count)), scheduler="local", name="t", profile={}, cwd="", git=None)
        try:
            cwd = os.environ.get("CWD", os.getcwd())
            return run.run_all(
                run.LocalLaunch(
                    experiment, "now", profile, runs, attempts, os.environ, cwd, needs, None, lock, Manner(jobs)
                )
            )
        except run.Stopped as stopped:
            die_by(stopped.args[0])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])))
