"""The pods Spark makes of an application, as templates with requests. Sources: see sparkapp."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import shown
from kube_queue.api.resources import parse_amount
from kube_queue.jobframework.fields import demand_count, demand_map, text
from kube_queue_extensions.spark_conf import SparkConf, factor, size, whole_mib

JVM_FACTOR: Final = 0.1
OTHER_FACTOR: Final = 0.4
LEAST_OVERHEAD: Final = "384m"
DEFAULT_MEMORY: Final = "1g"
FACTOR_PROPERTY: Final = "spark.kubernetes.memoryOverheadFactor"
_CONTAINERS: Final = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}
_DEVICE: Final = re.compile(r"spark\.(driver|executor)\.resource\.([A-Za-z0-9_-]+)\.amount\Z")


def overhead_factor(spec: Mapping[str, Any], conf: SparkConf) -> float:
    """The factor both kinds of pods have unless their own property says otherwise."""
    if conf.get(FACTOR_PROPERTY) is not None:
        return factor(conf.get(FACTOR_PROPERTY), conf.path(FACTOR_PROPERTY))
    written = spec.get("memoryOverheadFactor")
    if written not in (None, ""):
        return factor(written, "spec.memoryOverheadFactor")
    return OTHER_FACTOR if spec.get("type") in ("Python", "R") else JVM_FACTOR


def driver_template(driver: Mapping[str, Any], conf: SparkConf, share: float) -> Mapping[str, Any]:
    """The pod template of the driver. Raises InvalidInput."""
    memory = _memory("driver", driver, conf, share)
    return _template("driver", driver, conf, memory)


def executor_template(
    spec: Mapping[str, Any], executor: Mapping[str, Any], conf: SparkConf, share: float
) -> Mapping[str, Any]:
    """The pod template of an executor. Raises InvalidInput."""
    memory = _memory("executor", executor, conf, share)
    name = "spark.executor.pyspark.memory"
    if spec.get("type") == "Python" and conf.get(name) is not None:
        memory += whole_mib(size(conf.get(name), conf.path(name)))
    name = "spark.memory.offHeap.size"
    if conf.flag("spark.memory.offHeap.enabled") and conf.get(name) is not None:
        memory += whole_mib(size(conf.get(name), conf.path(name), "b"))
    return _template("executor", executor, conf, memory)


def _memory(role: str, pod: Mapping[str, Any], conf: SparkConf, share: float) -> int:
    """Memory and overhead in MiB."""
    path = f"spec.{role}"
    value, where = conf.first(pod, "memory", path, f"spark.{role}.memory")
    memory = whole_mib(size(DEFAULT_MEMORY if value is None else value, where))
    name = f"spark.{role}.memoryOverhead"
    value, where = conf.first(pod, "memoryOverhead", path, name)
    if value is not None:
        return memory + whole_mib(size(value, where))
    name = f"spark.{role}.memoryOverheadFactor"
    if conf.get(name) is not None:
        share = factor(conf.get(name), conf.path(name))
    name = f"spark.{role}.minMemoryOverhead"
    least = LEAST_OVERHEAD if conf.get(name) is None else conf.get(name)
    return memory + max(int(share * memory), whole_mib(size(least, conf.path(name))))


def _cpu(role: str, pod: Mapping[str, Any], conf: SparkConf) -> object:
    path = f"spec.{role}"
    name = f"spark.kubernetes.{role}.request.cores"
    value, where = conf.first(pod, "coreRequest", path, name)
    if value is None:
        if pod.get("cores") is not None:
            return demand_count(pod["cores"], 1, f"{path}.cores")
        value, where = conf.first({}, "", "", f"spark.{role}.cores")
    if value is None:
        return 1
    parse_amount("cpu", value, where)
    return value


def _devices(role: str, pod: Mapping[str, Any], conf: SparkConf) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in conf.values:
        match = _DEVICE.match(name) if isinstance(name, str) else None
        vendor = conf.get(f"spark.{role}.resource.{match[2]}.vendor") if match else None
        if match and match[1] == role and vendor and isinstance(vendor, str):
            parse_amount(match[2], conf.get(name), conf.path(name))
            found[f"{vendor}/{match[2]}"] = conf.get(name)
    path = f"spec.{role}.gpu"
    gpu = demand_map(pod.get("gpu"), path)
    device = gpu.get("name")
    if device not in (None, "") and (not isinstance(device, str) or "/" not in device):
        problem = f"{shown(device)} is no resource"
        raise InvalidManifest(problem, f"{path}.name", "write one, such as nvidia.com/gpu")
    if device:
        found[device] = parse_amount(device, gpu.get("quantity", 0), f"{path}.quantity")
    return found


def _template(role: str, pod: Mapping[str, Any], conf: SparkConf, memory: int) -> Mapping[str, Any]:
    path = f"spec.{role}.template"
    base = demand_map(pod.get("template"), path)
    spec = dict(demand_map(base.get("spec"), f"{path}.spec"))
    containers = _listed(spec.get("containers"), f"{path}.spec.containers")
    chosen = _chosen(role, containers)
    main: dict[str, Any] = {"name": _CONTAINERS[role]}
    if containers:
        main = dict(containers[chosen])
    where = f"{path}.spec.containers[{chosen}].resources"
    resources = demand_map(main.get("resources"), where)
    requests = dict(demand_map(resources.get("requests"), f"{where}.requests"))
    requests |= {"cpu": _cpu(role, pod, conf), "memory": f"{memory}Mi"}
    limits = dict(demand_map(resources.get("limits"), f"{where}.limits"))
    limits |= _devices(role, pod, conf)
    main["resources"] = {"requests": requests, "limits": limits}
    beside = _listed(pod.get("sidecars"), f"spec.{role}.sidecars")
    rest = [each for index, each in enumerate(containers) if index != chosen]
    spec["containers"] = [main, *rest, *_new(beside, containers)]
    before = _listed(spec.get("initContainers"), f"{path}.spec.initContainers")
    added = _listed(pod.get("initContainers"), f"spec.{role}.initContainers")
    spec["initContainers"] = [*before, *_new(added, before)]
    if text(pod, "priorityClassName"):
        spec["priorityClassName"] = text(pod, "priorityClassName")
    return {"spec": spec}


def _listed(value: object, path: str) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidManifest("a list of containers is expected", path)
    for index, each in enumerate(value):
        if not isinstance(each, Mapping):
            raise InvalidManifest("a container is expected", f"{path}[{index}]")
    return value


def _chosen(role: str, containers: list[Mapping[str, Any]]) -> int:
    """The container of the template that becomes Spark's own: by its name, else the first."""
    names = [text(each, "name") for each in containers]
    return names.index(_CONTAINERS[role]) if _CONTAINERS[role] in names else 0


def _new(added: list[Mapping[str, Any]], there: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of `added` that are not there, by name and image."""
    known = {(text(each, "name"), text(each, "image")) for each in there}
    return [each for each in added if (text(each, "name"), text(each, "image")) not in known]
