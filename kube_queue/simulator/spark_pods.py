"""The pods of a SparkApplication: a driver of the application's, executors of the driver's.

Source: github.com/kubeflow/spark-operator v2.5 and "Running Spark on Kubernetes": cpu is
coreRequest, else cores, else 1; memory is rounded down to MiB, and has an overhead of
memoryOverhead, else a tenth (Python and R: four tenths) of it, at least 384 MiB. What stands in
sparkConf is looked at for the number of executors only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kube_queue.simulator.fields import mapping, mappings, number, text
from kube_queue.simulator.outcome import NewPod, until_stopped
from kube_queue.simulator.owned_pods import Wanted
from kube_queue.simulator.views import PodView

MOST_EXECUTORS: Final = 10_000
"""More executors than this are not made."""
DEFAULT_MEMORY_MIB: Final = 1024
LEAST_OVERHEAD_MIB: Final = 384
_SIZE: Final = re.compile(r"(\d{1,15})([kmgt]?)b?", re.IGNORECASE | re.ASCII)
_KIB: Final = {"k": 1, "": 1024, "m": 1024, "g": 1024**2, "t": 1024**3}
_LONGEST_PREFIX: Final = 47


def driver_name(app: Mapping[str, Any]) -> str:
    """How the pod of its driver is called."""
    named = text(mapping(mapping(app.get("spec")).get("driver")).get("podName"))
    return named or f"{text(mapping(app.get('metadata')).get('name'))}-driver"


def driver_pod(app: Mapping[str, Any], submission: str) -> NewPod:
    """The driver; its end is the application's."""
    driver = mapping(mapping(app.get("spec")).get("driver"))
    template = _template(app, driver, "spark-kubernetes-driver")
    labels = _labels(app, driver, "driver", submission)
    return NewPod(
        template, Wanted(driver_name(app), labels, _annotations(driver), spec=_NEVER_AGAIN)
    )


def executor_pods(app: Mapping[str, Any], submission: str, driver: PodView) -> Iterator[NewPod]:
    """The executors; they serve until their driver ends."""
    executor = mapping(mapping(app.get("spec")).get("executor"))
    template = _template(app, executor, "spark-kubernetes-executor")
    annotations = _annotations(executor)
    serving = until_stopped({"metadata": {"annotations": annotations}})
    if not until_stopped(template):
        serving = {}
    prefix = executor_prefix(app, submission)
    for index in range(1, executors(app) + 1):
        labels = _labels(app, executor, "executor", submission) | {"spark-exec-id": str(index)}
        wanted = Wanted(f"{prefix}{index}", labels, {**serving, **annotations}, spec=_NEVER_AGAIN)
        yield NewPod(template, wanted, owner=driver)


def executor_prefix(app: Mapping[str, Any], submission: str) -> str:
    """What the names of this run's executors begin with."""
    name = text(mapping(app.get("metadata")).get("name"))
    digest = hashlib.sha256(f"{name} {submission}".encode()).hexdigest()[:16]
    return f"{name[:_LONGEST_PREFIX]}-{digest}-exec-"


def executors(app: Mapping[str, Any]) -> int:
    """How many executors it begins with: one, where it does not say."""
    spec = mapping(app.get("spec"))
    conf, dynamic = mapping(spec.get("sparkConf")), mapping(spec.get("dynamicAllocation"))
    written = conf.get("spark.executor.instances")
    default = int(written) if isinstance(written, str) and written.isdecimal() else 1
    count = number(mapping(spec.get("executor")).get("instances"), default)
    if dynamic.get("enabled") is True:
        least = (number(dynamic.get(field)) for field in ("initialExecutors", "minExecutors"))
        count = max(count, *least)
    return max(0, min(count, MOST_EXECUTORS))


def requests(spec: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """What the driver or an executor asks for."""
    memory = _mib(pod.get("memory"))
    memory = DEFAULT_MEMORY_MIB if memory is None else memory
    overhead = _mib(pod.get("memoryOverhead"))
    if overhead is None:
        overhead = max(int(memory * _factor(spec)), LEAST_OVERHEAD_MIB)
    cpu = text(pod.get("coreRequest")) or str(max(0, number(pod.get("cores"), 1)))
    return {"cpu": cpu, "memory": f"{memory + overhead}Mi"}


_NEVER_AGAIN: Final = {"restartPolicy": "Never"}


def _template(app: Mapping[str, Any], pod: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The pod template it gives, its container of that name (else its first) made Spark's."""
    spec = mapping(app.get("spec"))
    given = mapping(pod.get("template"))
    pod_spec = dict(mapping(given.get("spec")))
    containers = [dict(each) for each in mappings(pod_spec.get("containers"))] or [{"name": name}]
    main = next((each for each in containers if each.get("name") == name), containers[0])
    image = text(pod.get("image")) or text(spec.get("image")) or text(main.get("image"))
    resources = mapping(main.get("resources"))
    asked = {**mapping(resources.get("requests")), **requests(spec, pod)}
    limits = {**mapping(resources.get("limits")), "memory": asked["memory"]}
    if text(pod.get("coreLimit")):
        limits["cpu"] = pod["coreLimit"]
    gpu = mapping(pod.get("gpu"))
    if text(gpu.get("name")):
        limits[gpu["name"]] = asked[gpu["name"]] = str(number(gpu.get("quantity")))
    main |= {"image": image or "spark", "resources": {"requests": asked, "limits": limits}}
    for field in ("nodeSelector", "tolerations", "schedulerName", "priorityClassName"):
        if pod.get(field):
            pod_spec[field] = pod[field]
    batch = mapping(spec.get("batchSchedulerOptions"))
    if text(batch.get("priorityClassName")):
        pod_spec["priorityClassName"] = batch["priorityClassName"]
    return {**given, "spec": {**pod_spec, "containers": containers}}


def _labels(
    app: Mapping[str, Any], pod: Mapping[str, Any], role: str, submission: str
) -> dict[str, str]:
    own = {
        "spark-role": role,
        "sparkoperator.k8s.io/app-name": text(mapping(app.get("metadata")).get("name")),
        "sparkoperator.k8s.io/launched-by-spark-operator": "true",
        "sparkoperator.k8s.io/submission-id": submission,
    }
    given = mapping(pod.get("labels")).items()
    return {**{name: value for name, value in given if isinstance(value, str)}, **own}


def _annotations(pod: Mapping[str, Any]) -> dict[str, str]:
    given = mapping(pod.get("annotations")).items()
    return {name: value for name, value in given if isinstance(value, str)}


def _factor(spec: Mapping[str, Any]) -> float:
    default = 0.4 if spec.get("type") in ("Python", "R") else 0.1
    try:
        return max(0.0, min(float(text(spec.get("memoryOverheadFactor")) or default), 1000.0))
    except ValueError:
        return default


def _mib(value: object) -> int | None:
    """Whole MiB of a size as Spark reads it; None when it is none."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    return int(match[1]) * _KIB[match[2].lower()] // 1024
