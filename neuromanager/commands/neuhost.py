"""neuhost: the hosts of config.json: can they be reached, how much room is there; logging in, and cleaning up."""

from __future__ import annotations

import os
import threading

from neuromanager.experiment.catalog import is_whole, word_for
from neuromanager.experiment.launches import may_reach, read_launches
from neuromanager.experiment.select import resolve_selections
from neuromanager.hosts.upkeep import clean_code, read_room, remove_experiment
from neuromanager.profile.config import read_config
from neuromanager.profile.host import Host, describe_host
from neuromanager.profile.profile import Profile, find_reached
from neuromanager.schedulers import find_scheduler
from neuromanager.status.survey import read_reports
from neuromanager.system import ssh
from neuromanager.system.faults import DONE, TROUBLE, WRONG_INPUT, Failure, offer_nearest
from neuromanager.system.process import run_through
from neuromanager.system.quoting import visible
from neuromanager.system.reach import reach
from neuromanager.system.signals import Forwarder
from neuromanager.system.site import HERE, Site, Unreachable
from neuromanager.system.values import Sequence
from neuromanager.terminal.console import die_by, print_text, tell
from neuromanager.terminal.options import Parser, parse_options, split_operands

NAME = "neuhost"


def make_parser() -> Parser:
    parser = Parser(
        NAME,
        "neuhost [OPTION ...] [HOST ...]\n       neuhost --clean [HOST|EXPERIMENT ...]",
        "Shows the hosts of config.json: reachable or not, its scheduler, the folder there, room, clock.",
        "Exit: 0 done, 100 wrong input, 111 a host cannot be reached. See neuhost(1).",
    )
    add = parser.add_argument
    add("--login", action="store_true", help="log in to HOST with this terminal, for all commands that follow")
    add("--close", action="store_true", help="close our connection to HOST")
    add("--clean", action="store_true", help="remove EXPERIMENT from its hosts; of a HOST, code that none needs")
    add("-c", "--config", metavar="FILE", help="the profiles (default: as neurun finds them)")
    return parser.finish()


def main(words: Sequence[str]) -> int:
    parser = make_parser()
    own, operands = split_operands(parser, words)
    options = parse_options(parser, own)
    if options.login + options.close + options.clean > 1:
        raise Failure(WRONG_INPUT, "--login, --close and --clean exclude each other; write one of them")
    if options.config and (options.login or options.close):
        raise Failure(WRONG_INPUT, "--config: --login and --close need no profile; leave it out")
    profiles = find_reached(*read_config(options.config))
    if options.clean and operands and not set(operands) <= profiles.keys():
        return _clean_experiments(operands)
    if options.login or options.close:
        if not operands:
            raise Failure(WRONG_INPUT, f"{'--login' if options.login else '--close'}: which host? Write its name")
        try:
            return max([(_log_in if options.login else _close)(host) for host in operands])
        except Unreachable as error:
            raise Failure(TROUBLE, str(error.strerror)) from None
    if not profiles:
        raise Failure(WRONG_INPUT, f'no profile has a host; add "host": "{operands[0] if operands else "NAME"}" to one')
    unknown = [host for host in operands if host not in profiles]
    if unknown:
        raise Failure(
            WRONG_INPUT, *(f"{host!r}: no profile has this host; {offer_nearest(host, profiles)}" for host in unknown)
        )
    chosen = {name: profiles[name] for name in operands or profiles}
    return _clean_code(chosen) if options.clean else _show(chosen)


def _site(host: Host) -> Site:
    return HERE.at(describe_host(host))


def _show(profiles: dict[str, Profile]) -> int:
    lines: dict[str, tuple[str, bool]] = {}

    def look(name: str, profile: Profile) -> None:
        try:
            lines[name] = _describe(profile), True
        except Unreachable as error:
            lines[name] = str(error.strerror), False

    threads = [threading.Thread(target=look, args=item) for item in profiles.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in profiles:
        print_text(f"{lines[name][0]}\n")
    return DONE if all(reached for _, reached in lines.values()) else TROUBLE


def _describe(profile: Profile) -> str:
    """Raises Unreachable."""
    host = profile.host
    assert host
    ssh.forget_refusal(ssh.find_way(host.name))  # somebody asks for a try
    session = reach(host.name, host.by_hand)
    room, skew = read_room(session, host), session.skew_seconds
    parts = [f"{host.name}: reachable"]
    scheduler = find_scheduler(profile.scheduler)
    try:
        scheduler.find((), _site(host))
        parts.append(f"{scheduler.TITLE} {visible(scheduler.version(_site(host)))} answers")
    except Failure as failure:
        parts.append("; ".join(failure.faults[:2]))
    if room:
        parts.append(f"{room.directory}, {room.free_bytes / 1e9:.1f} GB free")
    return ", ".join(
        [*parts, f"its clock is {abs(skew)} s {'ahead' if skew > 0 else 'behind'}" if skew else "same time"]
    )


def _log_in(host: str) -> int:
    """With our terminal: passwords and second factors are between ssh and a person."""
    way = ssh.find_way(host)
    ssh.forget_refusal(way)
    if ssh.is_connected(way):
        tell(f"{host}: there is a connection already")
        return DONE
    words = ssh.login_words(way)
    forwarder = Forwarder()
    ending = run_through(words, os.environ, forwarder)
    if forwarder.stopped_by:
        die_by(forwarder.stopped_by)
    if not ssh.is_connected(way):
        why = (
            "" if way.options else "; your configuration of ssh keeps none: it has a ControlPath and no ControlPersist"
        )
        raise Failure(TROUBLE, f"{host}: ssh ended ({ending.as_exit_code()}), and there is no connection{why}")
    tell(f"{host}: logged in")
    return DONE


def _close(host: str) -> int:
    way = ssh.find_way(host)
    if not way.options:
        tell(f"{host}: the connection is your own; to close it: ssh -O exit {host}")
    elif not ssh.disconnect(way):
        tell(f"{host}: there is no connection")
    return DONE


def _clean_code(profiles: dict[str, Profile]) -> int:
    for profile in profiles.values():
        host = profile.host
        assert host
        try:
            session = reach(host.name, host.by_hand)
            if room := read_room(session, host):
                for place in clean_code(session, room.directory):
                    print_text(f"{host.name}:{room.directory}/{place}\n")
        except Unreachable as error:
            raise Failure(TROUBLE, str(error.strerror)) from None
    return DONE


def _clean_experiments(operands: Sequence[str]) -> int:
    """Refused while a run of them may go on. Raises Failure."""
    selected = resolve_selections(operands, os.environ)
    for one in selected:
        if one.indices is not None or not is_whole(one.experiment.directory):
            raise Failure(WRONG_INPUT, f"--clean: {word_for(one.experiment)} has to be named whole")
    reports = read_reports(selected, HERE)
    open_ = [word_for(report.experiment) for report in reports if any(status.open for status in report.statuses)]
    if open_:
        raise Failure(
            WRONG_INPUT, *(f"--clean: {name} has runs that may go on; wait for them: neuwait {name}" for name in open_)
        )
    for report in reports:
        places = {(launch.reached, launch.there): launch for launch in read_launches(report.experiment) if launch.there}
        for (host, there), launch in places.items():
            if not may_reach(report.experiment, launch):
                raise Failure(WRONG_INPUT, f"--clean: {word_for(report.experiment)} is another user's")
            try:
                remove_experiment(HERE.at(launch.profile).session(), str(there))
            except Unreachable as error:
                raise Failure(TROUBLE, str(error.strerror)) from None
            print_text(f"{host}:{there}\n")
    return DONE
