"""neuattach: runs one command on a node, with this terminal; no experiment is made."""

from __future__ import annotations

import os

from neuromanager.launch.profiles import find_profile
from neuromanager.profile.config import check_env
from neuromanager.profile.profile import check_own_options
from neuromanager.schedulers import find_scheduler
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.site import HERE
from neuromanager.system.values import Sequence
from neuromanager.terminal.options import Parser, parse_options, split_words

NAME = "neuattach"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuattach [OPTION ...] SUPPORT DEVICE COMMAND [WORD ...]",
        "Runs COMMAND on a node of a cluster, as config.json says for SUPPORT and DEVICE, with this terminal.",
        "Options come before SUPPORT; what follows DEVICE belongs to COMMAND. No experiment is made.\n"
        "Exit: the command's own code, 100 wrong input, 111 scheduler failed, 126 and 127 no such program.\n"
        "See neuattach(1).",
    )
    parser.instead = "an option of the scheduler is given as -r {}"
    add = parser.add_argument
    add(
        "-r",
        "--resource",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="set one resource of the profile; KEY alone is an option without a value, KEY= leaves it out",
    )
    add("-n", "--dry-run", action="store_true", help="print the command line that would be executed")
    add(
        "-c",
        "--config",
        metavar="FILE",
        help="the profiles (default: $NEU_CONFIG, ./config.json, ~/.config/neuromanager/config.json)",
    )
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, rest = split_words(parser, words)
    options = parse_options(parser, own)
    if len(rest) < 3:
        missing = ("SUPPORT", "DEVICE", "COMMAND")[len(rest)]
        raise Failure(WRONG_INPUT, f"{missing} is missing; write neuattach SUPPORT DEVICE COMMAND")
    support, device, *command = rest
    profile, source = find_profile(options.config, support, device, options.resource)
    if profile.spread:
        raise Failure(
            WRONG_INPUT, f"{support}: several clusters; name one of {', '.join(x.support for x in profile.spread)}"
        )
    check_env(profile, source)
    scheduler = find_scheduler(profile.scheduler)
    check_own_options(profile, scheduler.OWN_OPTIONS, scheduler.SPELLING, source)
    faults = []
    if profile.host and "host" not in scheduler.DOES:
        faults.append(f"{support}.{device}.host: {scheduler.TITLE} is not driven over ssh; run neuattach there")
    if "attach" not in scheduler.DOES:
        faults.append(f"{support}.{device}: {scheduler.TITLE} attaches no command; neuattach is for a cluster")
    if command == ["-"]:
        faults.append("-: neuattach runs one command, and reads no command lines")
    if os.environ.get("NEU_POINTS"):
        faults.append("neuattach runs one command, and no sweep; neusweep --each starts it once for each point")
    if faults:
        raise Failure(WRONG_INPUT, *faults)
    return scheduler.attach(profile, tuple(command), options.resource, HERE, options.dry_run)
