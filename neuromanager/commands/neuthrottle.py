"""neuthrottle: how many jobs of an experiment's arrays in the queue may run at a time, from now on."""

from __future__ import annotations

from neuromanager.launch.throttle import change_throttle
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.site import HERE
from neuromanager.system.values import Sequence
from neuromanager.terminal.options import Parser, parse_options, split_operands

NAME = "neuthrottle"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuthrottle [OPTION ...] N EXPERIMENT",
        "Lets N jobs of EXPERIMENT run at a time; 0 removes the limit.",
        "EXPERIMENT is train-3 or a path. Elements that run already continue.\n"
        "Exit: 0 done, 100 wrong arguments, 111 scheduler failed. See neuthrottle(1).",
    )
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    parse_options(parser, own)
    if len(operands) != 2:
        raise Failure(WRONG_INPUT, "write neuthrottle N EXPERIMENT: two words (see neuthrottle --help)")
    return change_throttle(operands[1], operands[0], HERE)
