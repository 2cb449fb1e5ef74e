"""SparkApplication of sparkoperator.k8s.io/v1beta2.

Sources: github.com/kubeflow/spark-operator v2.5 (API types, defaults, the arguments it gives
spark-submit) and "Running Spark on Kubernetes" of the Spark documentation. A pod asks for its
memory plus overhead in whole MiB. Overhead is memoryOverhead, else the factor times the memory but
at least 384 MiB; the factor is 0.1, for Python and R 0.4. Executors of Python have
spark.executor.pyspark.memory besides, all executors the off-heap memory where it is enabled. Sizes
are Spark's: 512m, 2g, 1t, without a unit MiB. cpu is coreRequest, else cores, else 1. With dynamic
allocation an application begins with the largest of instances, initialExecutors and minExecutors
and then has those that status.executorState calls PENDING or RUNNING; it may want the first ones
back at any time. Without it Spark replaces executors that end.
A field of the spec beats its property in sparkConf, except the overhead factor, where sparkConf
wins. spec.suspend is there since v2.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import shown
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import (
    demand_count,
    demand_flag,
    demand_map,
    demand_section,
    section,
    text,
)
from kube_queue_extensions import spark_pods
from kube_queue_extensions.spark_conf import SparkConf

SPARK_APPLICATIONS: Final = ResourceType(
    "sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication"
)
MODES: Final = ("cluster", "client", "in-cluster-client")
TYPES: Final = ("Scala", "Java", "Python", "R")
_LIVE: Final = frozenset({"SUBMITTED", "RUNNING", "SUCCEEDING", "FAILING", "SUSPENDING"})
_LIVE_EXECUTORS: Final = frozenset({"PENDING", "RUNNING"})


class SparkApplicationExtension:
    """Held by its annotation or spec.suspend; the driver (in cluster mode) and the executors.

    Stopped by spec.suspend, where its operator knows that field: the release writes it, and it
    stays only where it is known. Its application state tells whether it runs.
    """

    name = "sparkapp"
    aliases: tuple[str, ...] = ()
    resource = SPARK_APPLICATIONS
    suffix = "spark"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        hold = _hold(manifest)
        status = section(manifest, "status", "applicationState")
        stands = text(status, "state")
        outcome = None
        if stands in ("COMPLETED", "FAILED"):
            outcome = Outcome(stands == "COMPLETED", stands, text(status, "errorMessage"))
        return JobState(
            hold=hold,
            running=stands == "RUNNING",
            outcome=outcome,
            alive=1 + _live_executors(manifest) if stands in _LIVE else 0,
            stopped=hold is not Hold.NONE and stands == "SUSPENDED",
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        spec = demand_section(manifest, "spec")
        mode = _chosen(spec, "mode", MODES)
        _chosen(spec, "type", TYPES)
        driver = demand_section(manifest, "spec", "driver")
        executor = demand_section(manifest, "spec", "executor")
        conf = SparkConf(spec.get("sparkConf"), "spec.sparkConf")
        factor = spark_pods.overhead_factor(spec, conf)
        template = spark_pods.executor_template(spec, executor, conf, factor)
        count = _executors(spec, executor, conf)
        if _hold(manifest) is Hold.NONE and _is_dynamic(spec, conf):
            count = max(count, _live_executors(manifest))
        executors = PodSet("executor", count, "spec.executor", template)
        if mode != MODES[0]:
            # The driver runs where it was started, in a pod that is not this application's.
            return (executors,)
        template = spark_pods.driver_template(driver, conf, factor)
        return (PodSet("driver", 1, "spec.driver", template), executors)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension."""
        return text(manifest, "spec", "batchSchedulerOptions", "priorityClassName")

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return _mark(False)

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return _mark(True)

    def evictable(self, manifest: Mapping[str, Any]) -> bool:
        """See SometimesEvictable."""
        return isinstance(section(manifest, "spec").get("suspend"), bool)


def _hold(manifest: Mapping[str, Any]) -> Hold:
    if section(manifest, "spec").get("suspend") is True:
        return Hold.SPEC
    annotations = section(manifest, "metadata", "annotations")
    return Hold.MARK if annotations.get(SUSPEND_ANNOTATION) == "true" else Hold.NONE


def _mark(held: bool) -> JobPatch:
    word = "true" if held else "false"
    return {"metadata": {"annotations": {SUSPEND_ANNOTATION: word}}, "spec": {"suspend": held}}


def _chosen(spec: Mapping[str, Any], field: str, choice: Sequence[str]) -> str:
    """The word that a field chooses; absent, the first one. Raises InvalidManifest."""
    written = spec.get(field)
    if written in (None, ""):
        return choice[0]
    if not isinstance(written, str) or written not in choice:
        problem = f"{shown(written)} is none of {', '.join(choice)}"
        raise InvalidManifest(problem, f"spec.{field}", "write one of them")
    return written


def _executors(spec: Mapping[str, Any], executor: Mapping[str, Any], conf: SparkConf) -> int:
    path = "spec.executor.instances"
    instances = demand_count(executor.get("instances"), -1, path)
    if instances < 0:
        instances = conf.count("spark.executor.instances", -1)
    if not _is_dynamic(spec, conf):
        return 1 if instances < 0 else instances
    allocation = demand_map(spec.get("dynamicAllocation"), "spec.dynamicAllocation")
    if instances < 0 and spec.get("dynamicAllocation") is None:
        # The operator fills in instances unless the application's own field says otherwise.
        instances = 1
    counts = [max(0, instances)]
    for field in ("initialExecutors", "minExecutors"):
        written = allocation.get(field)
        if written is None:
            counts.append(conf.count(f"spark.dynamicAllocation.{field}", 0))
        else:
            counts.append(demand_count(written, 0, f"spec.dynamicAllocation.{field}"))
    return max(counts)


def _is_dynamic(spec: Mapping[str, Any], conf: SparkConf) -> bool:
    """Whether Spark itself chooses how many executors there are. Raises InvalidManifest."""
    if spec.get("dynamicAllocation") is None:
        return conf.flag("spark.dynamicAllocation.enabled")
    allocation = demand_map(spec["dynamicAllocation"], "spec.dynamicAllocation")
    return demand_flag(allocation.get("enabled"), "spec.dynamicAllocation.enabled")


def _live_executors(manifest: Mapping[str, Any]) -> int:
    states = section(manifest, "status", "executorState").values()
    return sum(isinstance(each, str) and each in _LIVE_EXECUTORS for each in states)
