"""One bash on a host, over one ssh, that is told one line after the other: nothing is installed there.

The remote command is the one word ``bash``, which every login shell passes on unchanged. All else goes to its stdin:
an empty line for start files that read one; then a clean bash takes the place, takes over what a login shell has in its
environment, and serves. What start files print comes before the first mark, and is dropped. Each answer ends with a
line of a mark and the exit code, on stdout and on stderr; so any bytes can be an answer, and questions may be sent
before the earlier ones are answered.
"""

from __future__ import annotations

import errno
import os
import re
import select
import selectors
import time

from neuromanager.system.contexts import contextlib
from neuromanager.system.process import Answer, converse
from neuromanager.system.quoting import quote_word
from neuromanager.system.remotebash import MOST_SAID_BYTES, render_session
from neuromanager.system.site import IN_FLIGHT, Unreachable
from neuromanager.system.ssh import (
    NotConnected,
    Way,
    calling_ssh,
    connect,
    find_way,
    forget_refusal,
    note_refusal,
    ssh_words,
)
from neuromanager.system.values import TYPE_CHECKING, Iterator, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    from neuromanager.system.process import Dialogue

STILL_SECONDS = 60.0  # that a host may say and take nothing
_SKEW_SECONDS = 2  # what is less is taken for the time of the answer's way
_MOST_BYTES = 1 << 29  # of what is said in one answer; files come in pieces
_MOST_NOISE = 1 << 24  # of what start files print before there is a shell
_AGAIN_SECONDS = 120.0  # for a submission whose connection was lost


class Heard(NamedTuple):
    code: int
    out: bytes
    err: bytes


class Session:
    """Nothing has been heard of it yet when it is made: ``receive`` raises Unreachable."""

    def __init__(self, host: str, by_hand: bool) -> None:
        self.host, self.owner = host, os.getpid()
        self.way = find_way(host)
        try:
            with calling_ssh(host):
                options = connect(self.way, by_hand)
                self._needs_person = bool(options)
                self._process: Dialogue = converse([*ssh_words(self.way, *options), "bash"])
        except NotConnected as refused:
            raise _explain(self.way, str(refused), "", 255, False) from None
        self._mark = os.urandom(9).hex()
        self._buffers = {"stdout": bytearray(), "stderr": bytearray()}
        self._selector = selectors.DefaultSelector()
        for name in self._buffers:
            self._selector.register(getattr(self._process, name), selectors.EVENT_READ, name)
        self._skew: int | None = None
        self._sent = time.time()
        self._write(render_session(self._mark).encode())

    def send(self, line: str, data: bytes = b"") -> None:
        """A line of bash, and its stdin. What it leaves of that is read all the same: bash would obey it."""
        if data:
            rest = "neu_code=$?; cat >/dev/null; exit $neu_code"
            text = f"head -c {len(data)} <&3 | {{ {line}\n{rest}\n}}; neu_done\n"
        else:
            text = f"{{ {line}\n}} </dev/null\nneu_done\n"
        self._write(text.encode("utf-8", "surrogateescape") + data)

    def receive(self, patience_seconds: float = 60.0) -> Heard:
        """The answer to the first line that has none yet. Raises Unreachable; then this session is over."""
        self._greet()
        out, err, words = self._collect(patience_seconds)
        return Heard(int(words[-1]), out, err)

    @property
    def skew_seconds(self) -> int:
        """How far the host's clock is ahead of ours."""
        self._greet()
        return self._skew or 0

    def _greet(self) -> None:
        if self._skew is None:
            _, _, words = self._collect(STILL_SECONDS)
            forget_refusal(self.way)
            skew = round(int(words[-1]) + 0.5 - (self._sent + time.time()) / 2)
            told_skews[self.host] = self._skew = (
                skew if abs(skew) > _SKEW_SECONDS + (time.time() - self._sent) / 2 else 0
            )

    def _write(self, data: bytes) -> None:
        """As far as it is taken, which shows in the answer. Raises Unreachable: a login node may freeze a shell."""
        assert self._process.stdin
        os.set_blocking(self._process.stdin.fileno(), False)
        free, view = select.poll(), memoryview(data)
        free.register(self._process.stdin, select.POLLOUT)
        with contextlib.suppress(BrokenPipeError):
            while view:
                if not free.poll(STILL_SECONDS * 1000):
                    self.close()
                    raise Unreachable(f"{self.host}: takes nothing of what is sent, for {STILL_SECONDS:g} seconds")
                view = view[self._process.stdin.write(view[: 1 << 16]) or 0 :]

    def _collect(self, patience_seconds: float) -> tuple[bytes, bytes, list[bytes]]:
        deadline, mark = time.monotonic() + patience_seconds, b"\n" + self._mark.encode()
        searched = {"stdout": 0, "stderr": 0}  # an answer may be long
        found: dict[str, tuple[bytes, list[bytes]]] = {}
        while True:
            for name, buffer in self._buffers.items():
                place = -1 if name in found else buffer.find(mark, max(0, searched[name] - len(mark)))
                searched[name] = len(buffer) if place < 0 else place
                end = buffer.find(b"\n", place + 1) if place >= 0 else -1
                if end >= 0:
                    found[name] = (bytes(buffer[:place]), bytes(buffer[place + len(mark) : end]).split())
                    del buffer[: end + 1]
            if len(found) == 2:
                words = found["stdout"][1]
                if not words or not re.fullmatch(rb"[0-9]{1,12}", words[-1]):
                    self.close()
                    raise Unreachable(f"{self.host}: answered with what was not asked for")
                return found["stdout"][0], found["stderr"][0], words
            left = deadline - time.monotonic()
            if left <= 0:
                self.close()
                how = f"; see whether ssh {self.host} bash gives a shell" if self._skew is None else ""
                raise Unreachable(f"{self.host}: no answer within {patience_seconds:g} seconds{how}")
            self._read(min(left, 1.0))

    def _read(self, seconds: float) -> None:
        """More of what comes. Raises Unreachable at its end: a connection that is shared may hold our pipes open."""
        ended = self._process.poll() is not None
        heard = self._selector.select(0 if ended else seconds)
        for key, _ in heard:
            data = os.read(key.fd, 1 << 18)
            if data:
                self._buffers[key.data] += data
                if len(self._buffers[key.data]) > (_MOST_NOISE if self._skew is None else _MOST_BYTES):
                    self.close()
                    how = f"; see what ssh {self.host} bash prints" if self._skew is None else ""
                    raise Unreachable(f"{self.host}: answers without end{how}")
            else:
                self._selector.unregister(key.fileobj)
        if not self._selector.get_map() or (ended and not heard):
            self.close()
            said, noise = (self._buffers[name].decode("utf-8", "replace") for name in ("stderr", "stdout"))
            if self._skew is not None:
                raise Unreachable(f"{self.host}: connection lost")
            raise _explain(self.way, said, noise, self._process.returncode, self._needs_person)

    def close(self) -> None:
        """Also after fork, in the child: then only our ends of the pipes."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()
        if self.owner == os.getpid():
            with contextlib.suppress(OSError):
                self._process.kill()
            self._process.wait()
        if _sessions.get(self.host) is self:
            del _sessions[self.host]


def _explain(way: Way, said: str, noise: str, code: int, needs_person: bool) -> Unreachable:
    """Why there is no session: ``said`` by ssh, which ended with ``code``, and before by start files (``noise``)."""
    lines = [line.strip() for line in said.split("\n") if line.strip()]
    lines = [line for line in lines if not line.startswith(("Warning: Permanently", "mux_client"))]
    last, host = lines[-1] if lines else "", way.host
    how = f"neuhost --login {host}" if way.options else f"ssh {host}"
    if "Host key verification failed" in last:
        changed = "IDENTIFICATION HAS CHANGED" in said or "IDENTIFICATION CHANGED" in said
        why = f"its key is not the one that ssh knows; see what ssh {host} says" if changed else ""
        return Unreachable(f"{host}: {why or f'ssh does not know its key yet; log in once: {how}'}", login=True)
    if "Permission denied" in last or (needs_person and code == 255):
        note_refusal(way)
        why = re.sub(r"^\S+@\S+: |\.$", "", last) if "Permission denied" in last else "a person has to log in"
        return Unreachable(f"{host}: {why}; log in once: {how}", login=True)
    if code != 255:  # a key that allows certain commands only, or start files that end bash
        words = (noise.strip().split("\n")[-1] or last)[:200]
        return Unreachable(f"{host}: its ssh gives no shell" + (f": {words}" if words else ""), login=True)
    last = re.sub(r"^ssh: (connect to host \S+ port \d+: )?", "", last)
    return Unreachable(f"{host}: {last or 'ssh ended without a word'}")


_sessions: dict[str, Session] = {}
told_skews: dict[str, int] = {}  # seconds by host


def reach(host: str, by_hand: bool = False) -> Session:
    """The session of this process with a host, made at the first call. Raises Unreachable."""
    session = _sessions.get(host)
    if session is None or session.owner != os.getpid():
        session = _sessions[host] = Session(host, by_hand)
    return session


def close_sessions() -> None:
    """Before a fork: a session is one process's."""
    for session in list(_sessions.values()):
        session.close()


def ask_there(session: Session, words: Sequence[str], timeout_seconds: float, env: Mapping[str, str]) -> Answer:
    """As ``process.ask``; ``env`` is added to the environment of a login shell there. Raises Unreachable."""
    command = [*(["env", *(f"{name}={value}" for name, value in env.items())] if env else []), *words]
    limit = f"timeout -k 5 {timeout_seconds:g} "
    session.send(limit + " ".join(map(quote_word, command)))
    return _read_answer(session.host, session.receive(timeout_seconds + 30))


def _read_answer(host: str, heard: Heard) -> Answer:
    out, err = heard.out.decode("utf-8", "surrogateescape"), heard.err.decode("utf-8", "surrogateescape")
    if heard.code == 124 and not out:
        return Answer(None, "", err)
    if heard.code == 127 and not out:
        raise FileNotFoundError(errno.ENOENT, f"{host}: no such program there, in a login shell")
    return Answer(128 - heard.code if 128 < heard.code <= 192 else heard.code, out, err)  # bash's way to name a signal


def submit_there(
    host: str, by_hand: bool, calls: Sequence[tuple[Sequence[str], str]], timeout_seconds: float
) -> Iterator[Answer]:
    """Words and their claims, each at most once, whoever asks and however often: the first to make the folder of the
    claim does it. The answers come up to the first that is not 0, for nothing behind that is asked.

    A connection that is lost meanwhile is made anew, and asks for the answers. Raises Unreachable if nothing was sent.
    """
    heard: list[Heard] = []
    deadline, pause, sent = time.monotonic() + _AGAIN_SECONDS, 0.5, False
    while True:
        before = len(heard)
        try:
            session = reach(host, by_hand)
            if not sent:
                _ = session.skew_seconds  # raises where it cannot be reached
            _send_claims(session, calls[before:], timeout_seconds)
            sent = True
            goes_on = True
            for _ in calls[before:]:
                answer = session.receive(timeout_seconds + 30)
                if goes_on and answer.code != IN_FLIGHT:
                    heard.append(answer)
                goes_on = goes_on and answer.code == 0
        except Unreachable as error:
            if not sent:
                raise
            if error.login:
                break
        if len(heard) == len(calls) or (heard and heard[-1].code):
            break
        if len(heard) > before:
            deadline, pause = time.monotonic() + _AGAIN_SECONDS, 0.5
        elif time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 10.0)
    return _read_answers(host, heard, calls)


def _read_answers(host: str, heard: Sequence[Heard], calls: Sequence[tuple[Sequence[str], str]]) -> Iterator[Answer]:
    yield from (_read_said(host, each) for each in heard)
    if len(heard) < len(calls) and not (heard and heard[-1].code):
        yield Answer(None, "", "")


def _send_claims(session: Session, calls: Sequence[tuple[Sequence[str], str]], timeout_seconds: float) -> None:
    for place, (words, claim) in enumerate(calls):
        begin = "" if place else "neu_said=0; "
        asked = " ".join(map(quote_word, words))
        session.send(f"{begin}neu_next {quote_word(claim)} {timeout_seconds:g} {asked}")


def settle_there(host: str, by_hand: bool, claim: str) -> Answer:
    """The answer to what was asked for with that claim; NEVER: it was not, and from now on never will be; IN_FLIGHT.

    Raises Unreachable.
    """
    session = reach(host, by_hand)
    session.send(f"neu_settle {quote_word(claim)}")
    return _read_said(host, session.receive())


def _read_said(host: str, heard: Heard) -> Answer:
    """Of what submits: a host keeps no more of what it said than is read."""
    answer = _read_answer(host, heard)
    endless = max(len(heard.out), len(heard.err)) >= MOST_SAID_BYTES
    return answer._replace(exit_code=None, stdout="", endless=True) if endless else answer
