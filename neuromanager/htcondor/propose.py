"""What a first config.json says of a pool: what each run asks for, as most pools want it said."""

from __future__ import annotations

from neuromanager.system.faults import TROUBLE, Failure
from neuromanager.system.programs import search_path
from neuromanager.system.site import Site
from neuromanager.system.values import Any

_SECONDS = 30.0
_USUAL = {"request_cpus": 1, "request_memory": "2GB", "request_disk": "1GB"}


def propose(site: Site) -> dict[str, Any] | None:
    """The support for config.json; None where there is no HTCondor. Raises Failure."""
    if not _has_programs(site):
        return None
    return {
        "x-note": "resources are commands of a submit description; your site may want more, as +JobFlavour",
        "*": {"env": [], "resources": _USUAL},
        "cpu": {},
        "gpu": {"resources": {"request_gpus": 1}},
    }


def _has_programs(site: Site) -> bool:
    """Raises Failure for a host that gives no answer."""
    if site.host is None:
        return search_path("condor_submit", site.environ.get("PATH")) is not None
    try:
        return site.ask(["condor_version"], _SECONDS, {}).exit_code == 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Failure(TROUBLE, str(error.strerror)) from None
