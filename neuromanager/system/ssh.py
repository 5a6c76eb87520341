"""ssh: its words, the one connection to a host that all of us share, and when a host is left in peace.

Facts of OpenSSH 8.4 to 9.2. All that is set here is set for programs: no prompt, no forwarding, no command of the
user's; a network that goes away is noticed within a minute.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.process import ask, ask_silently
from neuromanager.system.quoting import parse_line
from neuromanager.system.site import Unreachable
from neuromanager.system.values import Iterator, NamedTuple

_CONNECT_SECONDS = 20
_LOCAL_SECONDS = 20.0  # for what ssh answers without the network
_MASTER_SECONDS = 60.0
_KEPT_SECONDS = 600  # a connection of ours without use
_OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={_CONNECT_SECONDS}",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    "LogLevel=ERROR",
)


class Way(NamedTuple):
    """How a host is reached."""

    host: str
    options: tuple[str, ...]  # that name the connection to share; none: the user's own configuration does
    refused: str  # a file that is there while the host wants a person


def ssh_program() -> list[str]:
    """``NEU_SSH``, as ``ssh -F FILE``; else ssh."""
    return list(parse_line(os.environ.get("NEU_SSH") or "ssh"))


def ssh_words(way: Way, *options: str, terminal: bool = False) -> list[str]:
    """All words but what is to be executed there."""
    given = [word for option in _OPTIONS for word in ("-o", option) if not (terminal and option == "BatchMode=yes")]
    kind = ["-tt"] if terminal else ["-T"]
    return [*ssh_program(), *kind, *given, *way.options, *options, "--", way.host]


def login_words(way: Way) -> list[str]:
    """For a person at a terminal; leaves the connection that is shared."""
    if way.options:
        return [*ssh_program(), *way.options, "-f", "-N", "-o", "ControlMaster=yes", "--", way.host]
    return [*ssh_program(), "--", way.host, "true"]


@contextlib.contextmanager
def calling_ssh(host: str) -> Iterator[None]:
    """Raises Unreachable for what keeps us from calling it."""
    try:
        yield
    except Unreachable:
        raise
    except FileNotFoundError:
        raise Unreachable(f"{host}: ssh: no such program on PATH") from None
    except OSError as error:
        raise Unreachable(f"{host}: {error.filename or 'ssh'}: {error.strerror}") from None


def find_way(host: str) -> Way:
    """A ControlPath of the user's own where there is one; else one in a folder of ours. Raises Unreachable."""
    with calling_ssh(host):
        answer = ask([*ssh_program(), "-G", "--", host], _LOCAL_SECONDS)
        if answer.exit_code != 0:
            said = answer.stderr.strip().partition("\n")[0]
            if answer.exit_code is None:
                said = f"its configuration is not read within {_LOCAL_SECONDS:g} seconds; see what ssh -G {host} does"
            raise OSError(0, said or "ssh -G failed")
        folder = _find_folder()
    settings = dict(line.partition(" ")[::2] for line in answer.stdout.split("\n"))
    key = hashlib.sha256("\0".join((*ssh_program(), host)).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    refused = f"{folder}/{key}.refused"
    if settings.get("controlpath", "none") != "none":
        return Way(host, (), refused)
    ours = (f"ControlPath={folder}/%C", "ControlMaster=auto", f"ControlPersist={_KEPT_SECONDS}")
    return Way(host, tuple(word for option in ours for word in ("-o", option)), refused)


def _find_folder() -> str:
    """In /tmp, since the name of a socket is short. One that another user made is not used."""
    folder = f"/tmp/neuromanager-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(0, "is not a folder of yours alone; remove it", folder)
    return folder


def is_connected(way: Way) -> bool:
    """Whether there is a connection to share; the network is not asked."""
    return ask_silently(ssh_words(way, "-O", "check"), _LOCAL_SECONDS) == 0


def disconnect(way: Way) -> bool:
    """Ends the connection that is shared, if it is ours."""
    return bool(way.options) and ask_silently(ssh_words(way, "-O", "exit"), _LOCAL_SECONDS) == 0


class NotConnected(Exception):
    """What ssh said."""


def connect(way: Way, by_hand: bool) -> tuple[str, ...]:
    """The options for one more session over the shared connection, which is made where it is missing and may be.

    Raises NotConnected; where a person is needed it was tried once, for each try counts there.

    Under a lock: of several that start one at once all but the first would stay for ever as connections without use.
    """
    if by_hand or os.path.exists(way.refused):
        return ("-o", "ControlMaster=no", "-o", "ProxyCommand=false")  # over a connection that is there, or not at all
    if way.options:
        with _alone(way):
            code = ask_silently(ssh_words(way, "-O", "check"), _LOCAL_SECONDS)
            if code is None:
                raise NotConnected(
                    "the shared connection does not answer; "
                    f"kill its process, which ps shows as ssh: {os.path.dirname(way.refused)}/..."
                )
            if code != 0:
                _make_connection(way)
    return ()


def _make_connection(way: Way) -> None:
    """Raises NotConnected."""
    path = f"{way.refused}.{os.urandom(6).hex()}"
    errors = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    try:
        if ask_silently(ssh_words(way, "-f", "-N", "-o", "ControlMaster=yes"), _MASTER_SECONDS, errors) != 0:
            raise NotConnected(os.pread(errors, 4096, 0).decode("utf-8", "replace"))
    finally:
        os.close(errors)


@contextlib.contextmanager
def _alone(way: Way) -> Iterator[None]:
    lock = os.open(
        way.refused.replace(".refused", ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        deadline = time.monotonic() + _MASTER_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.02)
        yield
    finally:
        os.close(lock)


def note_refusal(way: Way) -> None:
    """A login without a person failed, and each further try would be one more in the host's log."""
    with contextlib.suppress(OSError):
        os.close(os.open(way.refused, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def forget_refusal(way: Way) -> None:
    with contextlib.suppress(OSError):
        os.unlink(way.refused)
