"""The profiles that need no config.json: ``local cpu``, and ``local gpu`` with a GPU for each run where there are some.

They are entries of config.json that nobody wrote: what it has under the same names takes their place, and its "*" is
shared with them.
"""

from __future__ import annotations

from neuromanager.experiment.states import LOCAL
from neuromanager.system.jsonvalues import text_of
from neuromanager.system.values import Any, Mapping
from neuromanager.terminal.console import tell

SUPPORT, DEVICES = LOCAL, ("cpu", "gpu")
ONE_GPU = {"resources": {"gres": "gpu:1"}}


def add_built_in(config: Mapping[str, Any], support: str, device: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The document with them, the GPUs asked only if ``local gpu`` is meant. Raises Failure if the driver fails."""
    own = config.get(SUPPORT, {})
    shared = own.get("*", {})
    if shared.get("scheduler", SUPPORT) != SUPPORT:
        return dict(config)
    built_in: dict[str, Any] = {name: {} for name in DEVICES}
    if (support, device) == (SUPPORT, "gpu") and "gpu" not in own and not _asks_for_gpus(shared):
        variables = {name: text_of(value) for name, value in shared.get("variables", {}).items()}
        built_in["gpu"] = _make_gpu_profile({**environ, **variables})
    return {**config, SUPPORT: {**built_in, **own}}


def _asks_for_gpus(profile: Mapping[str, Any]) -> bool:
    return bool({"gres", "gpus"} & set(profile.get("resources") or ()))


def _make_gpu_profile(environ: Mapping[str, str]) -> dict[str, Any]:
    from neuromanager.local.gpuquery import explain_hidden
    from neuromanager.local.resources import list_gpus

    if list_gpus(environ):
        return ONE_GPU
    why = explain_hidden(environ)
    tell(f"local gpu: no GPU is visible on this machine, and runs get none{f' ({why})' if why else ''}")
    return {}
