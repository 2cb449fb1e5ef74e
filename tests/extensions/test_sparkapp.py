"""What Spark applications ask for: the tables of Spark's documentation and of its operator."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.extension import Hold, evictable
from kube_queue_extensions.sparkapp import SparkApplicationExtension
from tests.extensions.asking import asks
from tests.extensions.manifests import Manifest, a_sparkapp

SPARK = SparkApplicationExtension()


def driver(pod: Manifest, **spec: Any) -> dict[str, str]:
    return asks(SPARK, a_sparkapp(driver=pod, **spec))["driver"][1]


def executor(pod: Manifest, **spec: Any) -> dict[str, str]:
    return asks(SPARK, a_sparkapp(executor=pod, **spec))["executor"][1]


@pytest.mark.parametrize(
    ("memory", "kind", "mebibytes"),
    [
        # Overhead is a tenth, at least 384 MiB; Spark drops fractions of a MiB.
        ("512m", "Scala", 896),
        ("1g", "Java", 1408),
        ("1024m", "Scala", 1408),
        ("1024", "Scala", 1408),
        ("3839m", "Scala", 3839 + 384),
        ("3850m", "Scala", 3850 + 385),
        ("4g", "Scala", 4096 + 409),
        ("20g", "Scala", 20480 + 2048),
        ("1t", "Scala", 1048576 + 104857),
        ("2097152k", "Scala", 2048 + 384),
        ("1073741824b", "Scala", 1024 + 384),
        ("2GB", "Scala", 2048 + 384),
        # Python and R keep two fifths for what is no JVM.
        ("512m", "Python", 896),
        ("1g", "Python", 1024 + 409),
        ("4g", "Python", 4096 + 1638),
        ("4g", "R", 4096 + 1638),
        (None, "Scala", 1408),
        (None, "Python", 1024 + 409),
    ],
)
def test_a_pod_asks_for_its_memory_and_the_overhead(
    memory: str | None, kind: str, mebibytes: int
) -> None:
    pod = {} if memory is None else {"memory": memory}
    for found in (driver(pod, type=kind), executor(pod, type=kind)):
        assert found["memory"] in (f"{mebibytes}Mi", f"{mebibytes / 1024:g}Gi")


@pytest.mark.parametrize(
    ("pod", "spec", "mebibytes"),
    [
        ({"memoryOverhead": "1g"}, {}, 5 * 1024),
        ({"memoryOverhead": "100"}, {}, 4096 + 100),
        ({"memoryOverhead": "10m"}, {"memoryOverheadFactor": "0.5"}, 4096 + 10),
        ({}, {"memoryOverheadFactor": "0.5"}, 4096 + 2048),
        ({}, {"memoryOverheadFactor": "0.01"}, 4096 + 384),
        ({}, {"memoryOverheadFactor": "0.2", "type": "Python"}, 4096 + 819),
        ({}, {"sparkConf": {"spark.kubernetes.memoryOverheadFactor": "0.3"}}, 4096 + 1228),
        (
            {},
            {
                "memoryOverheadFactor": "0.5",
                "sparkConf": {"spark.kubernetes.memoryOverheadFactor": "0.3"},
            },
            4096 + 1228,
        ),
        ({}, {"sparkConf": {"spark.driver.memoryOverheadFactor": "0.25"}}, 4096 + 1024),
        ({}, {"sparkConf": {"spark.driver.memoryOverhead": "7m"}}, 4096 + 7),
        ({}, {"sparkConf": {"spark.driver.minMemoryOverhead": "1g"}}, 4096 + 1024),
        ({}, {"sparkConf": {"spark.driver.memory": "9g"}}, 4096 + 409),
    ],
)
def test_the_overhead_can_be_said_in_many_ways(
    pod: Manifest, spec: Manifest, mebibytes: int
) -> None:
    found = driver({"memory": "4g", **pod}, **spec)["memory"]
    assert found in (f"{mebibytes}Mi", f"{mebibytes / 1024:g}Gi")


def test_a_property_stands_in_for_a_field_that_is_not_there() -> None:
    conf = {"spark.executor.memory": "2g", "spark.executor.cores": "3"}
    assert executor({}, sparkConf=conf) == {"cpu": "3", "memory": "2432Mi"}


@pytest.mark.parametrize(
    ("pod", "conf", "cpu"),
    [
        ({}, {}, "1"),
        ({"cores": 4}, {}, "4"),
        ({"cores": 4, "coreRequest": "500m"}, {}, "500m"),
        ({"cores": 4, "coreLimit": "1200m"}, {}, "4"),
        ({"coreRequest": "1.5"}, {}, "1500m"),
        ({"cores": 4}, {"spark.kubernetes.executor.request.cores": "250m"}, "250m"),
        ({}, {"spark.executor.cores": "5"}, "5"),
    ],
)
def test_a_pod_asks_for_core_request_else_cores(
    pod: Manifest, conf: dict[str, str], cpu: str
) -> None:
    assert executor(pod, sparkConf=conf)["cpu"] == cpu


def test_executors_of_python_have_memory_of_their_own_and_so_has_what_is_off_the_heap() -> None:
    conf = {
        "spark.executor.pyspark.memory": "512",
        "spark.memory.offHeap.enabled": "true",
        "spark.memory.offHeap.size": "1g",
    }
    assert executor({"memory": "1g"}, type="Python", sparkConf=conf)["memory"] == "2969Mi"
    assert executor({"memory": "1g"}, sparkConf=conf)["memory"] == "2432Mi"
    assert driver({"memory": "1g"}, sparkConf=conf)["memory"] == "1408Mi"
    conf["spark.memory.offHeap.enabled"] = "false"
    assert executor({"memory": "1g"}, sparkConf=conf)["memory"] == "1408Mi"


@pytest.mark.parametrize(
    ("executor_spec", "spec", "count"),
    [
        ({"instances": 3}, {}, 3),
        ({}, {}, 1),
        ({}, {"sparkConf": {"spark.executor.instances": "4"}}, 4),
        ({"instances": 3}, {"dynamicAllocation": {"enabled": False, "minExecutors": 9}}, 3),
        ({}, {"dynamicAllocation": {"enabled": True}}, 0),
        ({}, {"dynamicAllocation": {"enabled": True, "minExecutors": 2, "maxExecutors": 9}}, 2),
        ({}, {"dynamicAllocation": {"enabled": True, "initialExecutors": 5}}, 5),
        (
            {"instances": 7},
            {"dynamicAllocation": {"enabled": True, "initialExecutors": 5, "minExecutors": 2}},
            7,
        ),
        (
            {},
            {
                "sparkConf": {
                    "spark.dynamicAllocation.enabled": "true",
                    "spark.dynamicAllocation.minExecutors": "6",
                }
            },
            6,
        ),
        ({}, {"sparkConf": {"spark.dynamicAllocation.enabled": "true"}}, 1),
    ],
)
def test_as_many_executors_are_counted_as_the_application_begins_with(
    executor_spec: Manifest, spec: Manifest, count: int
) -> None:
    found = asks(SPARK, a_sparkapp(executor=executor_spec, **spec))
    assert found["executor"][0] == count


@pytest.mark.parametrize("mode", ["client", "in-cluster-client"])
def test_in_client_mode_the_driver_is_not_counted(mode: str) -> None:
    assert list(asks(SPARK, a_sparkapp(mode=mode))) == ["executor"]


def test_without_a_mode_the_driver_is_counted() -> None:
    assert list(asks(SPARK, a_sparkapp(mode=None))) == ["driver", "executor"]


def test_gpus_sidecars_init_containers_and_the_template_count_as_well() -> None:
    pod = {
        "cores": 1,
        "memory": "1g",
        "gpu": {"name": "nvidia.com/gpu", "quantity": 2},
        "sidecars": [{"name": "log", "resources": {"requests": {"cpu": "100m"}}}],
        "initContainers": [{"name": "pull", "resources": {"requests": {"memory": "8Gi"}}}],
        "template": {
            "spec": {
                "containers": [
                    {"name": "proxy", "resources": {"limits": {"cpu": "200m"}}},
                    {
                        "name": "spark-kubernetes-executor",
                        "resources": {"requests": {"cpu": "9", "ephemeral-storage": "2Gi"}},
                    },
                ],
                "overhead": {"memory": "10Mi"},
            }
        },
    }
    assert executor(pod) == {
        "cpu": "1300m",
        "memory": "8202Mi",
        "nvidia.com/gpu": "2",
        "ephemeral-storage": "2Gi",
    }


def test_devices_may_be_asked_for_by_property() -> None:
    conf = {
        "spark.executor.resource.gpu.amount": "2",
        "spark.executor.resource.gpu.vendor": "nvidia.com",
        "spark.driver.resource.gpu.amount": "1",
    }
    assert executor({}, sparkConf=conf)["nvidia.com/gpu"] == "2"
    assert set(driver({}, sparkConf=conf)) == {"cpu", "memory"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"driver": {"memory": "512Mi"}}, "spec.driver.memory"),
        ({"driver": {"memory": "0.5g"}}, "spec.driver.memory"),
        ({"driver": {"memory": "-1g"}}, "spec.driver.memory"),
        ({"driver": {"memory": f"{10**30}g"}}, "spec.driver.memory"),
        ({"driver": {"memory": "9223372036854775807"}}, "spec.driver.memory"),
        ({"driver": {"memory": "³g"}}, "spec.driver.memory"),
        ({"driver": {"memoryOverhead": {}}}, "spec.driver.memoryOverhead"),
        ({"driver": {"cores": 1.5}}, "spec.driver.cores"),
        ({"driver": {"coreRequest": "lots"}}, "spec.driver.coreRequest"),
        ({"driver": {"gpu": {"name": "nvidia.com/gpu", "quantity": -1}}}, "spec.driver.gpu"),
        ({"driver": {"sidecars": ["x"]}}, "spec.driver.sidecars[0]"),
        ({"executor": {"instances": -1}}, "spec.executor.instances"),
        ({"executor": {"instances": "3"}}, "spec.executor.instances"),
        ({"memoryOverheadFactor": "much"}, "spec.memoryOverheadFactor"),
        ({"memoryOverheadFactor": "nan"}, "spec.memoryOverheadFactor"),
        ({"memoryOverheadFactor": "1e999"}, "spec.memoryOverheadFactor"),
        ({"sparkConf": "x"}, "spec.sparkConf"),
        ({"sparkConf": {"spark.executor.memory": "x"}, "executor": {}}, "spec.sparkConf["),
        ({"sparkConf": {"spark.memory.offHeap.enabled": "maybe"}}, "spec.sparkConf["),
        ({"dynamicAllocation": []}, "spec.dynamicAllocation"),
        ({"mode": "cloud"}, "spec.mode"),
        ({"driver": []}, "spec.driver"),
    ],
)
def test_what_spark_could_not_read_is_named_by_its_path(change: Manifest, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asks(SPARK, a_sparkapp(**change))
    assert str(caught.value).startswith(path)


def test_it_is_held_by_either_mark_and_released_from_both() -> None:
    assert SPARK.state(a_sparkapp()).hold is Hold.MARK
    assert SPARK.state(a_sparkapp(suspend=True)).hold is Hold.SPEC
    released = merged(a_sparkapp(suspend=True), SPARK.resume(a_sparkapp()))
    assert released["metadata"]["annotations"] == {SUSPEND_ANNOTATION: "false"}
    assert released["spec"]["suspend"] is False


def test_it_can_be_stopped_only_where_its_operator_keeps_the_field() -> None:
    assert not evictable(SPARK, a_sparkapp(held=False))
    assert evictable(SPARK, a_sparkapp(held=False, suspend=False))


def test_the_driver_and_live_executors_count_as_its_pods() -> None:
    status = {
        "applicationState": {"state": "RUNNING"},
        "executorState": {"a": "RUNNING", "b": "PENDING", "c": "FAILED"},
    }
    assert SPARK.state({**a_sparkapp(held=False), "status": status}).alive == 3
    status["applicationState"] = {"state": "COMPLETED"}
    assert SPARK.state({**a_sparkapp(held=False), "status": status}).alive == 0
