"""Statuses of runs: their own events first, then one squeue and one sacct for all that is not settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from neuromanager.catalog import Selected
from neuromanager.experiment import Experiment
from neuromanager.states import Status


class Report(NamedTuple):
    """What is known of the runs of one experiment that were asked for."""

    experiment: Experiment
    record: Mapping[str, Any]
    """experiment.json"""
    statuses: list[Status]
    """In ascending order of their numbers."""


def read_reports(
    selected: Sequence[Selected], environ: Mapping[str, str], tell: Callable[[str], None], ask: bool = True
) -> list[Report]:
    """``tell`` is given a line for each question that got no answer; with ``ask`` False none is put to a scheduler."""
    raise NotImplementedError
