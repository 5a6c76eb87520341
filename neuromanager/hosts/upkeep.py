"""What lies on a host: how much room there is, and what of ours nobody needs any more."""

from __future__ import annotations

from neuromanager.hosts.ground import enter
from neuromanager.profile.host import Host
from neuromanager.system.quoting import quote_word, read_count
from neuromanager.system.reach import Session
from neuromanager.system.site import Unreachable
from neuromanager.system.values import NamedTuple

_CLEAN_SECONDS = 1800.0

# Code that no experiment there names in its launches, and that nobody has used for a day (one that is being launched is
# not named yet); and what broken transfers have left. Other folders, without our mark, are not ours and stay.
_CLEAN = r"""neu_named=$(cat -- */jobs.jsonl 2>/dev/null | grep -aoE '/code/[^/"]*"' | sort -u)
find code -maxdepth 1 -type d -name '*-????????????.part.????????' -mmin +1440 -exec rm -rf {} + \
  -printf '%p\n' 2>/dev/null
for neu_place in code/*/; do
  neu_place=${neu_place%/}
  case $neu_place in *.part.*|'code/*') continue ;; esac
  if [ -L "$neu_place" ] || [ ! -e "$neu_place/.neu-whole" ]; then continue; fi
  case "$neu_named" in *"/$neu_place\""*) continue ;; esac
  neu_late=$(find "$neu_place/.neu-used" "$neu_place/.neu-whole" -maxdepth 0 -mmin -@MINUTES@ 2>/dev/null)
  if [ -n "$neu_late" ]; then continue; fi
  find "$neu_place" -type d -exec chmod u+w {} +  # of files it would be the mode of all that share them
  rm -rf -- "$neu_place" && printf '%s\n' "$neu_place"
done"""


class Room(NamedTuple):
    directory: str
    free_bytes: int


def read_room(session: Session, host: Host) -> Room | None:
    """The folder of all experiments there, which is made; None where there is none of its own. Raises Unreachable."""
    if host.directory is None:
        return None
    session.send(f"{enter(host.directory)} && pwd -P && df -Pk . | tail -n 1")
    heard = session.receive()
    lines = heard.out.decode("utf-8", "surrogateescape").split("\n")
    sizes = lines[1].split() if len(lines) > 1 else []
    free = read_count(sizes[3]) if len(sizes) > 3 else None
    if heard.code or free is None:
        raise Unreachable(f"{session.host}: {heard.err.decode('utf-8', 'replace').strip() or 'df is not understood'}")
    return Room(lines[0], free * 1024)


def remove_experiment(session: Session, there: str) -> None:
    """Raises Unreachable."""
    _ask(session, f"rm -rf -- {quote_word(there)}")


def clean_code(session: Session, directory: str, minutes: int = 1440) -> list[str]:
    """The folders below ``directory`` that were removed. Raises Unreachable."""
    return _ask(session, f"cd -- {quote_word(directory)} && {{ {_CLEAN.replace('@MINUTES@', str(minutes))}\n}}")


def _ask(session: Session, line: str) -> list[str]:
    session.send(line)
    heard = session.receive(_CLEAN_SECONDS)
    if heard.code:
        raise Unreachable(f"{session.host}: {heard.err.decode('utf-8', 'replace').strip()}")
    return heard.out.decode("utf-8", "surrogateescape").split("\n")[:-1]
