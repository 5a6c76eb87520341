"""What a first config.json says of a pool: what each run asks for, as most pools want it said."""

from __future__ import annotations

from neuromanager.system.site import Site
from neuromanager.system.values import Any

_USUAL = {"request_cpus": 1, "request_memory": "2GB", "request_disk": "1GB"}


def propose(site: Site) -> dict[str, Any] | None:
    """The support for config.json; None where there is no HTCondor. Raises OSError."""
    if not site.has("condor_submit"):
        return None
    return {
        "x-note": "resources are commands of a submit description; your site may want more, as +JobFlavour",
        "*": {"env": [], "resources": _USUAL},
        "cpu": {},
        "gpu": {"resources": {"request_gpus": 1}},
    }
