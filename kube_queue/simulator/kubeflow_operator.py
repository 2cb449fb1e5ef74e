"""Kubeflow's operator, as arena installs it: it obeys the suspend annotation.

A job is held by the annotation or by runPolicy.suspend alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from kube_queue.simulator import kubeflow_status
from kube_queue.simulator.fields import mapping, mappings
from kube_queue.simulator.kubeflow_kinds import KubeflowKind
from kube_queue.simulator.kubeflow_status import KubeflowSpec, Replicas, kubeflow_spec
from kube_queue.simulator.outcome import NewPod, OperatedKind, Outcome, until_stopped
from kube_queue.simulator.owned_pods import Wanted
from kube_queue.simulator.views import REPLICA_INDEX, REPLICA_TYPE, PodView


def operated(kind: KubeflowKind) -> OperatedKind:
    """What an operator plays for this kind."""
    return OperatedKind(kind.resource, kind.component, partial(plan, kind))


def plan(
    kind: KubeflowKind, job: Mapping[str, Any], pods: Sequence[PodView], now: float
) -> Outcome:
    """See Plan."""
    decided = kubeflow_status.plan(kind, job, pods, now)
    spec = kubeflow_spec(kind, job)
    return Outcome(
        decided.status,
        delete=decided.delete,
        create=[_pod(spec, replicas, index) for replicas, index in decided.create],
        again=decided.again,
        expired=decided.expired,
    )


def _pod(spec: KubeflowSpec, replicas: Replicas, index: int) -> NewPod:
    kind = spec.kind
    slot = replicas.slot(index)
    labels = {
        "training.kubeflow.org/job-name": spec.name,
        "training.kubeflow.org/operator-name": kind.component,
        REPLICA_TYPE: replicas.kind.lower(),
        REPLICA_INDEX: str(index),
    }
    if replicas.kind in kind.masters or (kind.worker_leads and slot == "worker-0"):
        others = any(each.kind in kind.masters for each in spec.replicas)
        if replicas.kind in kind.masters or not others:
            labels["training.kubeflow.org/job-role"] = "master"
    restart = "Never" if replicas.restart_policy == "ExitCode" else replicas.restart_policy
    wanted = Wanted(
        f"{spec.name}-{replicas.kind.lower() if replicas.kind in kind.unnumbered else slot}",
        labels,
        until_stopped(replicas.template) if _waits(kind, replicas) else {},
        spec={"restartPolicy": restart},
    )
    return NewPod(replicas.template, wanted)


def _waits(kind: KubeflowKind, replicas: Replicas) -> bool:
    containers = mappings(mapping(replicas.template.get("spec")).get("containers"))
    commands = [each.get("command") for each in containers]
    return replicas.kind in kind.idle and not any(commands)
