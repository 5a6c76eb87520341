"""What a launch finds on a host: the folder of all experiments, and the code, which is sent only where it is new."""

from __future__ import annotations

import io
import os
import tarfile
import time

from neuromanager.experiment.code import find_code
from neuromanager.hosts.code import Code, File, read_code
from neuromanager.profile.profile import Profile
from neuromanager.system.faults import TROUBLE, WRONG_INPUT, Failure
from neuromanager.system.quoting import quote_word
from neuromanager.system.reach import Heard, Session, reach
from neuromanager.system.site import Unreachable
from neuromanager.system.values import NamedTuple, Sequence
from neuromanager.terminal.console import tell

_SEND_SECONDS = 1800.0
# In a folder of code that is complete: KEY NAME of each file, and beside it what that file was when it had come. Times
# are compared for equality alone: files keep those of the machine that sent them, whose clock may be ahead.
_WHOLE = ".neu-whole"
SENT = ".neu-sent"
_LIST = r"""cut -z -d ' ' -f 2- .neu-whole | sed -z 's,^,./,' |
  xargs -0r sh -c 'exec find "$@" -maxdepth 0 -printf "%s %T@ %p\0"' sh"""

# Which folder has exactly this code: the first of NAME, NAME.2 ... in which nobody has changed a file that was sent.
_FIND = r"""neu_same() ( cd -- "$1" && { @LIST@
} 2>/dev/null | cmp -s - .neu-sent )
neu_found=''
for neu_end in '' .2 .3 .4 .5 .6 .7 .8 .9 .10; do
  neu_place=code/@NAME@$neu_end
  if [ ! -e "$neu_place/.neu-whole" ]; then neu_found="new $neu_place"; break; fi
  if neu_same "$neu_place"; then neu_found="old $neu_place"; : > "$neu_place/.neu-used"; break; fi
done
printf '%s\0' "$neu_found"
if [ "${neu_found%% *}" = new ]; then
  ls -td -- code/@PROJECT@-*/.neu-whole 2>/dev/null | grep -vF .part. | head -n 3 | while IFS= read -r neu_last; do
    if neu_same "${neu_last%/*}"; then printf '%s\0' "${neu_last%/*}"; cat -- "$neu_last"; break; fi
  done
fi
true""".replace("@LIST@", _LIST)


class Ground(NamedTuple):
    """Where a launch takes place on a host."""

    directory: str | None  # of all experiments, absolute; None: they have the same paths there as here
    code: str  # where the runs' programs are started


def prepare(profile: Profile, cwd: str, place: str, key: str) -> Ground:
    """``cwd``: the folder here whose code it is. ``key``: of resources, the one that names a folder for the runs.

    Raises Failure; then nothing of it was made there.
    """
    host = profile.host
    assert host
    chosen = next((value for name, value in profile.resources if name.lower() == key), None)
    if not host.has_copy:
        return Ground(None, chosen or cwd)
    if host.code is False and not chosen:
        raise Failure(WRONG_INPUT, f"{place}.code: false; name the folder on {host.name}: {place}.resources.{key}")
    frozen = find_code(cwd)
    code = None if host.code is False else read_code(frozen.top if frozen else cwd, host, place)
    try:
        session = reach(host.name, host.by_hand)
        find = "" if code is None else _FIND.replace("@NAME@", code.name).replace("@PROJECT@", code.name[:-13])
        session.send(f"{enter(str(host.directory))} && pwd -P | tr '\\n' '\\0' && {{ {find or ':'}\n}}")
        heard = session.receive()
        if heard.code:
            raise Failure(WRONG_INPUT, f"{place}.dir: {host.name}: {_words(heard)}")
        directory, *found = heard.out.decode("utf-8", "surrogateescape").split("\0")
        if code is None:
            return Ground(directory, str(chosen))
        state, _, near = found[0].partition(" ")
        if state == "new":
            _send(session, directory, near, code, found[1:])
        elif state != "old":
            raise Failure(WRONG_INPUT, f"{host.name}: {directory}/code/{code.name}.*: all were changed; remove some")
        _link(session, f"{directory}/{near}", host.links, place)
        below = f"/{frozen.prefix}" if frozen and frozen.prefix else ""
        return Ground(directory, f"{directory}/{near}{below}")
    except Unreachable as error:
        raise Failure(TROUBLE, str(error.strerror), "nothing was launched") from None


def enter(directory: str) -> str:
    """Bash that makes the folder and goes there; an unset variable must not make one in the root."""
    name, slash, rest = directory.partition("/")
    if name.startswith("$"):
        check = f'[ -n "${{{name[1:]}-}}" ] || {{ echo {quote_word(name)} is not set there >&2; false; }}'
        text = f'"${{{name[1:]}}}"/{quote_word(rest) if rest else ""}'
        return f"{{ {check}; }} && mkdir -p -- {text} && cd -- {text}"
    text = quote_word(directory)
    if not directory.startswith("/"):
        text = '"$HOME"/' + quote_word(directory[2:] if directory.startswith("~/") else directory)
    return f"mkdir -p -- {text} && cd -- {text}"


def _words(heard: Heard) -> str:
    lines = [line for line in heard.err.decode("utf-8", "replace").split("\n") if line.strip()]
    return lines[0].strip() if lines else f"failed ({heard.code})"


def _send(session: Session, directory: str, near: str, code: Code, last: Sequence[str]) -> None:
    """Beside, then renamed: a folder with .neu-whole is complete. What the last one has is linked, not sent."""
    began = time.monotonic()
    known = dict(entry.split(" ", 1)[::-1] for entry in last[1:] if " " in entry)
    same = [file for file in code.files if last and known.get(file.name) == file.key]
    new = [file for file in code.files if not last or known.get(file.name) != file.key]
    part = f"{directory}/{near}.part.{os.urandom(4).hex()}"
    whole = b"".join(os.fsencode(f"{file.key} {file.name}") + b"\0" for file in code.files)
    names = b"".join(os.fsencode(file.name) + b"\0" for file in same)
    there, place = quote_word(part), quote_word(f"{directory}/{near}")
    steps: list[tuple[str, bytes]] = [(f"mkdir -p -- {there}", b"")]
    if same:
        link = f"xargs -0r cp -Pl --parents -t {there} --"
        steps.append((f"cd -- {quote_word(f'{directory}/{last[0]}')} && {link}", names))
    packed = _pack(code.folder, new)
    steps.append((f"tar -xzf - -C {there}", packed))
    steps.append((f"cat > {there}/{_WHOLE}", whole))
    steps.append((f"( cd -- {there} && {{ {_LIST}\n}} > {SENT} )", b""))  # we do not stay: another may be first
    steps.append((f"mv -T -- {there} {place} || {{ [ -e {place}/{_WHOLE} ] && rm -rf -- {there}; }}", b""))
    for line, data in steps:
        session.send(line, data)
        heard = session.receive(_SEND_SECONDS)
        if heard.code:
            session.send(f"cd /; rm -rf -- {there}")
            session.receive(_SEND_SECONDS)
            if "cp -Pl" in line:  # something is missing there, or that file system has no links
                return _send(session, directory, near, code, ())
            raise Failure(TROUBLE, f"{session.host}: {_words(heard)}", "nothing was launched")
    tell(
        f"{session.host}: {len(new)} of {len(code.files)} files of code ({len(packed) / 1e6:.1f} MB) sent to {near} in "
        f"{time.monotonic() - began:.1f} s"
    )


def _pack(folder: str, files: Sequence[File]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=3, format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            path = os.path.join(folder, file.name)
            info = tar.gettarinfo(path, file.name)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            if info.isreg() or info.islnk():
                info.type, info.linkname = tarfile.REGTYPE, ""
                with open(path, "rb") as source:
                    info.size = os.fstat(source.fileno()).st_size
                    tar.addfile(info, source)
            else:
                tar.addfile(info)
    return data.getvalue()


def _link(session: Session, code: str, links: Sequence[tuple[str, str]], place: str) -> None:
    """Raises Failure for a target that is not there."""
    for name, target in links:
        text = f"{code}/{name}"
        made = f'mkdir -p -- {quote_word(os.path.dirname(text))} && ln -sfn -- "$neu_to" {quote_word(text)}'
        to = f'"$HOME"/{quote_word(target[2:])}' if target.startswith("~/") else quote_word(target)
        session.send(
            f'neu_to={to}; if [ -e "$neu_to" ]; then {made}; else echo "$neu_to: no such file there" >&2; false; fi'
        )
    for name, _ in links:
        heard = session.receive()
        if heard.code:
            raise Failure(WRONG_INPUT, f"{place}.links.{name}: {session.host}: {_words(heard)}", "nothing was launched")
