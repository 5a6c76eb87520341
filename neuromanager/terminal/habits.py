"""Options that people bring from another tool, and how the same is given here; read only when one was refused.

GNU parallel(1), sbatch(1), tsp(1) and Snakemake have them, and a few are a neighbour's in the chain.
"""

from __future__ import annotations

_LETTERS = {
    "A": "account",
    "C": "constraint",
    "G": "gpus",
    "N": "nodes",
    "p": "partition",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
}
_NAME = "--name NAME names the experiment and its jobs"
_AT_A_TIME = "-j N runs N at a time"
_NEURUN = {
    "-J": _NAME,
    "--job-name": _NAME,
    "--array": "all runs are one array: --runs N, or neusweep before it",
    "-a": "- reads command lines from standard input: neurun SUPPORT DEVICE - < FILE",
    "--joblog": "every run is recorded; neustat --joblog NAME prints the log",
    "--resume-failed": "neurerun NAME launches again what failed",
    "--retry-failed": "neurerun NAME launches again what failed",
    "--timeout": "-r time=VALUE limits each run",
    "--cores": _AT_A_TIME,
    "--workers": _AT_A_TIME,
    "--max-procs": _AT_A_TIME,
    "-P": _AT_A_TIME,
}
_OF_NEURUN = frozenset(
    "-j -r -y -c --jobs --runs --resource --name --resume --retries --halt --tee --wait --detach --after --pack "
    "--throttle --capacity --requeue --own --config --dry-run --tag --note".split()
)


def find_habit(command: str, option: str, value: str, instead: str) -> str | None:
    """What to type in place of an option that this command lacks; ``instead`` is how its parameters are given."""
    if command == "neusweep" and option in _OF_NEURUN:
        shown = option + (value and ("=" if option.startswith("--") else "") + value)
        return f"it is an option of neurun, and stands behind that: neusweep neurun {shown} SUPPORT DEVICE COMMAND"
    if command == "neutable" and option in ("-p", "--pattern"):  # as neuget has it
        return "-f NAME says in which files results are"
    if command == "neusweep" and option in ("-m", "--multirun"):
        return "a parameter is given as -s lr=0.1,0.01; neuimport hydra reads a command line with -m"
    if "option of the scheduler" not in instead:
        return None
    if option[1:] in _LETTERS:
        return instead.format(f"{_LETTERS[option[1:]]}={value or 'VALUE'}")
    return _NEURUN.get(option) if command == "neurun" else None
