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
_IN_ORDER = "neulog NAME prints it in the order of the runs"
_SWEEP = "neusweep -s NAME=V1,V2 neurun SUPPORT DEVICE COMMAND"
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
    "--results": "what each run prints is kept, in runs/NAME/logs; --name NAME names the experiment",
    "-k": _IN_ORDER,
    "--keep-order": _IN_ORDER,
    **dict.fromkeys(("--progress", "--bar", "--eta"), "a terminal has one line of it; neustat shows it from another"),
    **dict.fromkeys(("--linebuffer", "--line-buffer", "--lb", "--ungroup", "-u"), "--tee prints lines as they come"),
    "--colsep": "neuimport csv FILE makes a sweep of a table",
    **dict.fromkeys(("--sshlogin", "-S"), 'a cluster is reached by "host": "NAME" in a profile of config.json'),
    **dict.fromkeys(("--load", "--memfree", "--noswap"), "-r mem=VALUE and -r cpus-per-task=N are what each run gets"),
    "--delay": "runs start at once; -j N runs N at a time",
    "--will-cite": "leave it out",
    **dict.fromkeys(("-s", "--sweep", "--params"), "parameters come first: " + _SWEEP),
}
_NEURERUN = {
    **dict.fromkeys(
        ("--force", "--all", "-f"), "what completed is left alone; neurun --like NAME launches all once more"
    ),
    "--detach": "neurun --resume --detach --name NAME, with the same command, goes on after logout",
}
_NEUTABLE = {
    **dict.fromkeys(("-p", "--pattern"), "-f NAME says in which files results are"),  # as neuget has it
    **dict.fromkeys(("--sort", "--sort-by"), "--min NAME has the least first, --max NAME the greatest"),
    **dict.fromkeys(("-o", "--output"), "a table goes to standard output: --csv > FILE"),
}
_OTHERS = {
    "neustat": {"--failed": "--state=FAILED shows them, and neulog --failed what they printed last"},
    "neulog": {"--tail": "-n N shows the last N lines"},
    "neurerun": _NEURERUN,
    "neutable": _NEUTABLE,
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
    if habit := _OTHERS.get(command, {}).get(option):
        return habit
    if command == "neusweep" and option in ("-m", "--multirun"):
        return "a parameter is given as -s lr=0.1,0.01; neuimport hydra reads a command line with -m"
    if "option of the scheduler" not in instead:
        return None
    if option[1:] in _LETTERS:
        return instead.format(f"{_LETTERS[option[1:]]}={value or 'VALUE'}")
    return _NEURUN.get(option) if command == "neurun" else None
