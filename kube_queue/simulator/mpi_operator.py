"""The operators of MPIJobs: one definition, two shapes of jobs (see mpi_first)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.simulator import kubeflow_operator, mpi_first
from kube_queue.simulator.kubeflow_kinds import MPIJOB
from kube_queue.simulator.outcome import OperatedKind, Outcome
from kube_queue.simulator.views import PodView


def plan(job: Mapping[str, Any], pods: Sequence[PodView], now: float) -> Outcome:
    """See Plan."""
    if mpi_first.is_first(job):
        return mpi_first.plan(job, pods, now)
    return kubeflow_operator.plan(MPIJOB, job, pods, now)


MPI_OPERATOR: Final = OperatedKind(MPIJOB.resource, MPIJOB.component, plan)
