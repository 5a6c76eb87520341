"""The keys of a profile's ``resources``: commands of a submit description (condor_submit(1)), and attributes (``+X``).

They are compared without case, and written as they are. ``schedd`` and ``pool`` are no commands: they say where
HTCondor's programs are asked (their options -name and -pool).
"""

from __future__ import annotations

from neuromanager.profile.profile import Resources
from neuromanager.system.faults import offer_nearest
from neuromanager.system.patterns import compile_late
from neuromanager.system.values import Mapping

PLACES = ("schedd", "pool")
# Those that would take away what neurun needs, and what does their work.
OWNED = {
    "executable": "neurun submits a script of its own; give the command after DEVICE",
    "arguments": "give the words of the command after DEVICE",
    "shell": "give the command after DEVICE",
    "queue": "neurun queues all runs; see --runs",
    "output": "neurun writes runs/NAME/logs",
    "error": "neurun writes runs/NAME/logs",
    "input": "a run reads no input; write bash -c '... < FILE'",
    "max_materialize": "use neurun --throttle",
    "leave_in_queue": "a run that has ended leaves the queue; neurun keeps its own record",
    "noop_job": "neurun's jobs execute the command",
    "dry_run": "use neurun --dry-run",
    "erase_output_and_error_on_restart": "neurun's logs grow with each attempt",
}
_OWNED_PREFIXES = {"cron_": "HTCondor may start such a job again and again", "+neu": "neurun has attributes so named"}
_UNIVERSES = ("vanilla", "container", "docker")
# They have a run's job executed again after its own end, whatever its exit code says.
RETRYING = frozenset(
    "max_retries on_exit_remove on_exit_hold retry_until success_exit_code checkpoint_exit_code".split()
)
IMAGES = frozenset(("container_image", "docker_image", "+singularityimage", "my.singularityimage"))
_OF_TRANSFER = frozenset(("initialdir", "when_to_transfer_output", "transfer_executable"))
OF_REQUEUE = frozenset("on_exit_remove max_retries retry_until success_exit_code checkpoint_exit_code".split())
REQUESTS = ("request_cpus", "request_memory", "request_disk", "request_gpus")
_ALIASES = ("request_cpu", "request_gpu")
# From 23.9's submit_utils.cpp; only to offer the nearest one: condor_submit itself says which it does not know.
KNOWN = (
    *REQUESTS,
    *"""accounting_group accounting_group_user allowed_execute_duration allowed_job_duration batch_name
    checkpoint_destination checkpoint_exit_code concurrency_limits container_image container_target_dir core_size
    coresize deferral_prep_time deferral_time deferral_window description docker_image docker_network_type
    docker_pull_policy email_attributes encrypt_execute_directory environment getenv gpus_maximum_capability
    gpus_minimum_capability gpus_minimum_memory gpus_minimum_runtime hold image_size initialdir job_ad_information_attrs
    job_lease_duration job_machine_attrs job_max_vacate_time keep_claim_idle kill_sig kill_sig_timeout log log_xml
    manifest max_idle max_job_retirement_time max_retries max_transfer_input_mb max_transfer_output_mb
    next_job_start_delay nice_user notification notify_user on_exit_hold on_exit_hold_reason on_exit_hold_subcode
    on_exit_remove periodic_hold periodic_hold_reason periodic_hold_subcode periodic_release periodic_remove
    periodic_vacate preserve_relative_paths priority rank remove_kill_sig require_gpus requirements retry_until
    run_as_owner should_transfer_files skip_filechecks stack_size starter_debug submit_event_notes success_exit_code
    transfer_executable transfer_input_files transfer_output_files transfer_output_remaps transfer_plugins universe
    use_oauth_services use_scitokens use_x509userproxy want_graceful_removal want_io_proxy when_to_transfer_output
    x509userproxy""".split(),
)
_NAME = compile_late(r"(?i)(?:\+|My\.)?[A-Za-z_][A-Za-z0-9_.]*")


def is_command(name: str) -> bool:
    """Whether it may stand before ``=`` in a submit description."""
    return bool(_NAME.fullmatch(name))


_NUMBER = compile_late(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def find_value(resources: Resources | Mapping[str, str | None], name: str) -> str | None:
    """What is given for a command, however its name is written; ``true`` for one without a value."""
    pairs = resources if isinstance(resources, tuple) else resources.items()
    for given, value in pairs:
        if given.lower() == name:
            return "true" if value is None else str(value)
    return None


def has_any(resources: Resources | Mapping[str, str | None], names: frozenset[str]) -> bool:
    return any(find_value(resources, name) is not None for name in names)


def is_attribute(name: str) -> bool:
    return name.lower().startswith(("+", "my."))


def transfers_files(resources: Resources | Mapping[str, str | None]) -> bool:
    """Whether the nodes share no file system with us, and HTCondor carries files to them and back."""
    return (find_value(resources, "should_transfer_files") or "").lower() in ("yes", "true")


def is_contained(resources: Resources | Mapping[str, str | None]) -> bool:
    """Whether HTCondor starts the job in a container."""
    universe = (find_value(resources, "universe") or "").lower()
    return universe in ("container", "docker") or has_any(resources, IMAGES)


def find_faults(resources: Resources, requeues: bool) -> list[str]:
    """What is wrong with each key or value, as ``KEY: what; the mend``."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    for name, value in resources:
        lower = name.lower()
        if lower in seen:
            faults.append(f"{name}: given twice, also as {seen[lower]}; HTCondor compares names without case")
        seen[lower] = name
        if lower in _OF_TRANSFER and transfers_files(resources):
            faults.append(f"{name}: with should_transfer_files neurun sets it; leave it out: -r {name}=")
        if said := _find_fault(name, lower, value, requeues):
            faults.append(f"{name}: {said}")
    return faults


def _find_fault(name: str, lower: str, value: str | None, requeues: bool) -> str | None:
    text = (value or "").strip().lower()
    if lower in OWNED:
        return OWNED[lower]
    for prefix, why in _OWNED_PREFIXES.items():
        if lower.replace("my.", "+").startswith(prefix):
            return why
    if not is_command(name):
        return 'write a command of a submit description, as "request_cpus", or an attribute, as "+JobFlavour"'
    if lower in PLACES and not text:
        return "write a name"
    if lower == "universe" and text not in _UNIVERSES:
        return f"{value!r}: a command runs in one of these: {', '.join(_UNIVERSES)}"
    if lower == "should_transfer_files" and text not in ("yes", "no", "true", "false"):
        return f"{value!r}: write YES, or NO where the nodes share the folder of the experiment"
    if requeues and lower in OF_REQUEUE:
        return f"--requeue needs it for itself; leave it out: -r {name}="
    if lower in _ALIASES:
        return None
    near = _find_near_request(lower)
    return (
        f"did you mean {near!r}? As it stands it would ask for a resource of that name, and wait for ever"
        if near
        else None
    )


def _find_near_request(name: str) -> str | None:
    """``request_memroy``: HTCondor takes it for a resource that no machine has."""
    import difflib  # only for a request of another name

    if name in REQUESTS or not name.startswith("request_"):
        return None
    near = difflib.get_close_matches(name, REQUESTS, n=1, cutoff=0.8)
    return near[0] if near else None


def offer_command(name: str) -> str:
    return offer_nearest(name, KNOWN)


def render_value(name: str, value: str | None) -> str:
    """As a submit description has it: a text for ``+X`` becomes a string of ClassAds, unless it is an expression."""
    text = "true" if value is None else value
    if not is_attribute(name):
        return text
    if text.startswith("="):
        return text[1:].strip()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    if quoted or _NUMBER.fullmatch(text) or text.lower() in ("true", "false"):
        return text
    return quote_string(text)


def quote_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def find_path_fault(path: str) -> str | None:
    """Why a submit description cannot name a path; ``$(`` alone can be written (``quote_path``)."""
    if path != path.strip():
        return "a blank at its end"
    if "$$(" in path:
        return "'$$(' in it"
    if not path.replace("\t", "").isprintable() or "\n" in path:
        return "a character that does not print in it"
    return None


def quote_path(path: str) -> str:
    return path.replace("$(", "$(DOLLAR)(")
