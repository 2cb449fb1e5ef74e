"""A SparkApplication's life under the operator played for it."""

import asyncio
from typing import Any

import pytest

from kube_queue.simulator.spark_operator import SPARK_APPLICATIONS, plan
from kube_queue.simulator.spark_pods import executors, requests
from kube_queue.simulator.views import PodView, pod_view
from tests.simulator.world import World, in_world

Object = dict[str, Any]
NOW = 1_767_225_600.0
HOLD_ANNOTATION = "scheduling.x-k8s.io/suspend"


def an_application(
    *, marked: bool = False, seconds: str = "30", exit_code: str = "0", **spec: Any
) -> Object:
    """The application of the ack-kube-queue documentation, with two executors."""
    annotations = {
        "simulator.kube-queue/run-seconds": seconds,
        "simulator.kube-queue/exit-code": exit_code,
    }
    return {
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {
            "name": "pi",
            "namespace": "default",
            "annotations": {HOLD_ANNOTATION: "true"} if marked else {},
        },
        "spec": {
            "type": "Scala",
            "mode": "cluster",
            "image": "spark:v3.1.1",
            "driver": {
                "cores": 1,
                "coreLimit": "1200m",
                "memory": "512m",
                "annotations": annotations,
            },
            "executor": {"cores": 1, "instances": 2, "memory": "512m"},
            **spec,
        },
    }


async def stands(world: World) -> str:
    status = (await world.get(SPARK_APPLICATIONS, "pi")).get("status", {})
    return str(status.get("applicationState", {}).get("state", ""))


async def hold(world: World, field: str, held: bool) -> None:
    patch: Object = {"spec": {"suspend": held}}
    if field == "annotation":
        patch = {"metadata": {"annotations": {HOLD_ANNOTATION: "true" if held else "false"}}}
    await world.client.patch(SPARK_APPLICATIONS, "default", "pi", patch)


async def roles(world: World) -> list[str]:
    """What the pods are for, as a sorted list."""
    return sorted(pod["metadata"]["labels"]["spark-role"] for pod in await world.pods())


@pytest.mark.parametrize("field", ["annotation", "suspend"])
def test_a_held_application_waits_runs_once_released_and_completes(field: str):
    async def story(world: World) -> None:
        app = an_application(marked=True) if field == "annotation" else an_application(suspend=True)
        await world.client.create(SPARK_APPLICATIONS, app)
        await asyncio.sleep(60)
        assert await world.pods() == []
        assert await stands(world) == "SUSPENDED"

        await hold(world, field, False)
        await asyncio.sleep(5)
        assert await stands(world) == "RUNNING"
        assert await roles(world) == ["driver", "executor", "executor"]
        status = (await world.get(SPARK_APPLICATIONS, "pi"))["status"]
        assert sorted(status["executorState"].values()) == ["RUNNING", "RUNNING"]
        assert status["driverInfo"]["podName"] == "pi-driver"

        await asyncio.sleep(35)
        assert await stands(world) == "COMPLETED"
        assert await world.phases() == {"pi-driver": "Succeeded"}
        status = (await world.get(SPARK_APPLICATIONS, "pi"))["status"]
        assert set(status["executorState"].values()) == {"COMPLETED"}
        assert (status["submissionAttempts"], status["executionAttempts"]) == (1, 1)
        assert status["terminationTime"]

    in_world(story)


def test_the_driver_belongs_to_the_application_and_the_executors_to_the_driver():
    async def story(world: World) -> None:
        await world.client.create(SPARK_APPLICATIONS, an_application())
        await asyncio.sleep(5)
        app = await world.get(SPARK_APPLICATIONS, "pi")
        pods = {pod["metadata"]["labels"]["spark-role"]: pod for pod in await world.pods()}
        (of_driver,) = pods["driver"]["metadata"]["ownerReferences"]
        (of_executor,) = pods["executor"]["metadata"]["ownerReferences"]
        assert of_driver["uid"] == app["metadata"]["uid"]
        assert (of_executor["kind"], of_executor["name"]) == ("Pod", "pi-driver")
        assert of_executor["uid"] == pods["driver"]["metadata"]["uid"]
        assert pods["driver"]["spec"]["containers"][0]["resources"] == {
            "requests": {"cpu": "1", "memory": "896Mi"},
            "limits": {"cpu": "1200m", "memory": "896Mi"},
        }

    in_world(story)


@pytest.mark.parametrize("field", ["annotation", "suspend"])
def test_suspending_a_running_application_takes_its_pods_and_its_time_begins_again(field: str):
    async def story(world: World) -> None:
        await world.client.create(SPARK_APPLICATIONS, an_application())
        await asyncio.sleep(20)
        await hold(world, field, True)
        await asyncio.sleep(3)
        assert await world.pods() == []
        assert await stands(world) == "SUSPENDED"
        await hold(world, field, False)
        await asyncio.sleep(20)
        assert await stands(world) == "RUNNING"
        await asyncio.sleep(20)
        assert await stands(world) == "COMPLETED"

    in_world(story)


def test_an_application_whose_driver_fails_has_failed():
    async def story(world: World) -> None:
        await world.client.create(SPARK_APPLICATIONS, an_application(seconds="5", exit_code="3"))
        await asyncio.sleep(20)
        status = (await world.get(SPARK_APPLICATIONS, "pi"))["status"]
        assert status["applicationState"] == {
            "state": "FAILED",
            "errorMessage": "driver container failed with ExitCode: 3, Reason: Error",
        }
        assert await world.phases() == {"pi-driver": "Failed"}

    in_world(story)


def test_a_deleted_application_takes_its_pods_along():
    async def story(world: World) -> None:
        await world.client.create(SPARK_APPLICATIONS, an_application())
        await asyncio.sleep(5)
        assert len(await world.pods()) == 3
        await world.client.delete(SPARK_APPLICATIONS, "default", "pi", propagation="Background")
        await asyncio.sleep(5)
        assert await world.pods() == []

    in_world(story)


def test_a_finished_application_is_deleted_after_its_time_to_live():
    async def story(world: World) -> None:
        await world.client.create(SPARK_APPLICATIONS, an_application(timeToLiveSeconds=60))
        await asyncio.sleep(60)
        assert await stands(world) == "COMPLETED"
        await asyncio.sleep(60)
        assert await world.is_gone(SPARK_APPLICATIONS, "pi")

    in_world(story)


@pytest.mark.parametrize("pause", [0.0, 0.3, 1.1])
def test_killed_again_and_again_an_application_still_runs_once(pause: float):
    async def story(world: World) -> None:
        await world.client.create(SPARK_APPLICATIONS, an_application(suspend=True))
        for round_ in range(12):
            await world.kill_simulator()
            if round_ == 4:
                await hold(world, "suspend", False)
            world.start_simulator()
            await asyncio.sleep(pause)
        await asyncio.sleep(60)
        assert await stands(world) == "COMPLETED"
        status = (await world.get(SPARK_APPLICATIONS, "pi"))["status"]
        assert status["submissionAttempts"] == 1

    in_world(story)


# The states, turn by turn.


def a_driver(phase: str) -> PodView:
    metadata = {"name": "pi-driver", "uid": "d"}
    return pod_view({"metadata": metadata, "status": {"phase": phase}})


@pytest.mark.parametrize(
    ("state", "pods", "held", "expected"),
    [
        ("", [], False, "SUBMITTED"),
        ("", [], True, "SUSPENDING"),
        ("SUBMITTED", [], False, "SUBMITTED"),
        ("SUBMITTED", [a_driver("Pending")], False, "SUBMITTED"),
        ("SUBMITTED", [a_driver("Running")], False, "RUNNING"),
        ("SUBMITTED", [a_driver("Running")], True, "SUSPENDING"),
        ("RUNNING", [], False, "FAILING"),
        ("RUNNING", [a_driver("Succeeded")], False, "SUCCEEDING"),
        ("RUNNING", [a_driver("Failed")], False, "FAILING"),
        ("SUCCEEDING", [], False, "COMPLETED"),
        ("FAILING", [], False, "FAILED"),
        ("SUSPENDING", [a_driver("Running")], True, "SUSPENDING"),
        ("SUSPENDING", [], True, "SUSPENDED"),
        ("SUSPENDING", [], False, "SUSPENDED"),
        ("SUSPENDED", [], True, "SUSPENDED"),
        ("SUSPENDED", [], False, "RESUMING"),
        ("RESUMING", [], False, "SUBMITTED"),
        ("COMPLETED", [], True, "COMPLETED"),
        ("FAILED", [], True, "FAILED"),
    ],
)
def test_an_application_turns_from_one_state_to_the_next(
    state: str, pods: list[PodView], held: bool, expected: str
):
    app = an_application(suspend=held)
    app["status"] = {"applicationState": {"state": state}}
    assert plan(app, pods, NOW).status["applicationState"]["state"] == expected


@pytest.mark.parametrize(
    ("spec", "pod", "expected"),
    [
        ({}, {}, ("1", "1408Mi")),
        ({}, {"cores": 2, "memory": "10g"}, ("2", "11264Mi")),
        ({"type": "Python"}, {"memory": "10g"}, ("1", "14336Mi")),
        ({"memoryOverheadFactor": "0.5"}, {"memory": "2g"}, ("1", "3072Mi")),
        (
            {},
            {"coreRequest": "500m", "memory": "512m", "memoryOverhead": "100m"},
            ("500m", "612Mi"),
        ),
        ({}, {"memory": "0.5g"}, ("1", "1408Mi")),
    ],
)
def test_a_pod_asks_for_its_cores_and_its_memory_with_overhead(
    spec: Object, pod: Object, expected: tuple[str, str]
):
    asked = requests(spec, pod)
    assert (asked["cpu"], asked["memory"]) == expected


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({}, 1),
        ({"executor": {"instances": 3}}, 3),
        ({"sparkConf": {"spark.executor.instances": "4"}}, 4),
        ({"dynamicAllocation": {"enabled": True, "minExecutors": 5}}, 5),
        ({"dynamicAllocation": {"enabled": False, "minExecutors": 5}}, 1),
        ({"executor": {"instances": -2}}, 0),
    ],
)
def test_an_application_begins_with_as_many_executors_as_it_says(spec: Object, count: int):
    assert executors({"spec": spec}) == count


def test_a_manifest_full_of_nonsense_hurts_nobody():
    for nonsense in (None, 3, "x", [], {"driver": 4, "executor": []}, {"driver": {"template": 1}}):
        for state in ("", "SUBMITTED", "RUNNING", "COMPLETED", "ODD"):
            status = {"applicationState": {"state": state}, "executorState": [1]}
            app = {"metadata": {"name": "a"}, "spec": nonsense, "status": status}
            plan(app, [a_driver("Running")], NOW)
