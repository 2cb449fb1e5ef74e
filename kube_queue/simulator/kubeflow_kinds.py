"""The kinds of kubeflow.org, as far as their operators differ.

Source: github.com/kubeflow/training-operator v1.8.1 (JAXJob: v1.9.3): replica types and defaults,
whose end is the job's, the words of each kind's messages, which pods have the role of the master.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kube_queue.api.types import TFJOBS, ResourceType

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Words:
    """How a message begins or reads: {kind}, {namespace}, {name}, {count} and {type} are filled."""

    running: str
    succeeded: str


FULL_NAME: Final = Words(
    "{kind} {namespace}/{name} is running.", "{kind} {namespace}/{name} successfully completed."
)
SHORT_NAME: Final = Words("{kind} {name} is running.", "{kind} {name} is successfully completed.")
_IS_FAILED: Final = "{kind} {name} is failed because {count} {type} replica(s) failed."


@dataclass(frozen=True, slots=True)
class KubeflowKind:
    """One kind: which replica types it has and what their pods' ends mean for the job."""

    resource: ResourceType
    replica_specs: str
    types: tuple[str, ...]
    chiefs: tuple[str, ...] = ()
    """Where one of these is there, its end is the job's."""
    workers_decide: bool = False
    """Without a chief, the end of all workers is the job's."""
    first_worker_decides: bool = False
    """Without a chief, the end of worker 0 is, unless successPolicy says AllWorkers."""
    lone_worker_decides: bool = False
    """The end of a worker that is alone is the job's."""
    masters: tuple[str, ...] = ()
    """Types whose pods have the role of the master."""
    worker_leads: bool = False
    """Without such a type, worker 0 has that role."""
    servers: tuple[str, ...] = ()
    """Types that serve until they are stopped; they go with the job in any phase of theirs."""
    idle: tuple[str, ...] = ()
    """Types that wait for orders until they are stopped where they have no command."""
    unnumbered: tuple[str, ...] = ()
    """Types of which there is one, whose pod's name ends without a number."""
    restart_policy: str = "Never"
    absent: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Replicas of a type that does not say how many; 1 where it is not named."""
    chief_words: Words = SHORT_NAME
    worker_words: Words = FULL_NAME
    failed: str = _IS_FAILED

    @property
    def name(self) -> str:
        """The kind, as messages and reasons begin."""
        return self.resource.kind

    @property
    def component(self) -> str:
        """The operator's name in labels and events."""
        return f"{self.resource.kind.lower()}-controller"


def _kubeflow(plural: str, kind: str) -> ResourceType:
    return ResourceType("kubeflow.org", "v1", plural, kind)


TFJOB: Final = KubeflowKind(
    TFJOBS,
    "tfReplicaSpecs",
    ("Chief", "Evaluator", "Master", "PS", "Worker"),
    chiefs=("Chief", "Master"),
    workers_decide=True,
    first_worker_decides=True,
    masters=("Chief", "Master"),
    worker_leads=True,
    servers=("PS",),
    chief_words=FULL_NAME,
    failed="{kind} {namespace}/{name} has failed because {count} {type} replica(s) failed.",
)
PYTORCHJOB: Final = KubeflowKind(
    _kubeflow("pytorchjobs", "PyTorchJob"),
    "pytorchReplicaSpecs",
    ("Master", "Worker"),
    chiefs=("Master",),
    workers_decide=True,
    masters=("Master",),
    worker_leads=True,
    restart_policy="OnFailure",
)
XGBOOSTJOB: Final = KubeflowKind(
    _kubeflow("xgboostjobs", "XGBoostJob"),
    "xgbReplicaSpecs",
    ("Master", "Worker"),
    chiefs=("Master",),
    masters=("Master",),
)
PADDLEJOB: Final = KubeflowKind(
    _kubeflow("paddlejobs", "PaddleJob"),
    "paddleReplicaSpecs",
    ("Master", "Worker"),
    chiefs=("Master",),
    workers_decide=True,
    masters=("Master",),
    restart_policy="OnFailure",
)
MXJOB: Final = KubeflowKind(
    _kubeflow("mxjobs", "MXJob"),
    "mxReplicaSpecs",
    ("Scheduler", "Server", "Worker", "TunerTracker", "TunerServer", "Tuner"),
    chiefs=("Scheduler",),
    lone_worker_decides=True,
    masters=("Server",),
    servers=("Server", "TunerServer", "TunerTracker"),
    worker_words=SHORT_NAME,
    failed="mxjob {name} is failed because {count} {type} replica(s) failed.",
)
JAXJOB: Final = KubeflowKind(
    _kubeflow("jaxjobs", "JAXJob"),
    "jaxReplicaSpecs",
    ("Worker",),
    workers_decide=True,
    worker_leads=True,
    restart_policy="OnFailure",
)
MPIJOB: Final = KubeflowKind(
    _kubeflow("mpijobs", "MPIJob"),
    "mpiReplicaSpecs",
    ("Launcher", "Worker"),
    chiefs=("Launcher",),
    idle=("Worker",),
    unnumbered=("Launcher",),
    absent=MappingProxyType({"Worker": 0}),
    chief_words=FULL_NAME,
)
KUBEFLOW_KINDS: Final = (
    TFJOB,
    PYTORCHJOB,
    XGBOOSTJOB,
    PADDLEJOB,
    MXJOB,
    JAXJOB,
)
"""Those whose operators differ in nothing else; an MPIJob may have another shape besides."""
