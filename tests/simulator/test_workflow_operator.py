"""A Workflow's life under the controller played for it."""

import asyncio
from typing import Any

import pytest

from kube_queue.simulator.outcome import Outcome
from kube_queue.simulator.views import pod_view
from kube_queue.simulator.workflow_operator import WORKFLOWS, plan
from tests.simulator.world import World, container, in_world

Object = dict[str, Any]
NOW = 1_767_225_600.0


def a_step(name: str, script: str = "sleep 30") -> Object:
    return {"name": name, "container": container(["sh", "-c", script])}


def a_workflow(*templates: Object, **spec: Any) -> Object:
    """A workflow whose first template is its entrypoint, with the queue's own template beside."""
    listed = [*(templates or (a_step("main"),)), {"name": "kube-queue-suspend", "suspend": {}}]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "wf", "namespace": "default"},
        "spec": {"entrypoint": listed[0]["name"], "templates": listed, **spec},
    }


def steps(*groups: tuple[str, ...]) -> Object:
    """A template whose groups run one after the other, each step of a template of its name."""
    return {
        "name": "main",
        "steps": [[{"name": name, "template": name} for name in group] for group in groups],
    }


def dag(**dependencies: list[str]) -> Object:
    """A template of tasks, each of a template of its name, and what each depends on."""
    tasks = [
        {"name": name, "template": name, "dependencies": before}
        for name, before in dependencies.items()
    ]
    return {"name": "main", "dag": {"tasks": tasks}}


async def phase(world: World) -> str:
    return str((await world.get(WORKFLOWS, "wf")).get("status", {}).get("phase", ""))


async def change(world: World, **spec: Any) -> None:
    await world.client.patch(WORKFLOWS, "default", "wf", {"spec": spec})


async def running(world: World) -> list[str]:
    """Templates whose pods run."""
    return sorted(
        name.split("-")[1] if "-" in name else "main"
        for name, said in (await world.phases()).items()
        if said == "Running"
    )


def test_a_suspended_workflow_says_running_and_has_no_pods_until_it_is_released():
    async def story(world: World) -> None:
        await world.client.create(WORKFLOWS, a_workflow(suspend=True))
        await asyncio.sleep(60)
        assert await phase(world) == "Running"
        assert await world.pods() == []

        await change(world, suspend=False)
        await asyncio.sleep(5)
        assert await world.phases() == {"wf": "Running"}
        await asyncio.sleep(35)
        workflow = await world.get(WORKFLOWS, "wf")
        assert workflow["status"]["phase"] == "Succeeded"
        assert workflow["status"]["progress"] == "1/1"
        assert workflow["status"]["finishedAt"] > workflow["status"]["startedAt"]
        assert workflow["metadata"]["labels"] == {
            "workflows.argoproj.io/completed": "true",
            "workflows.argoproj.io/phase": "Succeeded",
        }
        assert await world.phases() == {"wf": "Succeeded"}

    in_world(story)


def test_steps_run_group_after_group():
    async def story(world: World) -> None:
        main = steps(("a", "b"), ("c",))
        await world.client.create(WORKFLOWS, a_workflow(main, *map(a_step, "abc")))
        await asyncio.sleep(5)
        assert await running(world) == ["a", "b"]
        await asyncio.sleep(30)
        assert await running(world) == ["c"]
        await asyncio.sleep(30)
        assert await phase(world) == "Succeeded"

    in_world(story)


def test_tasks_run_when_those_they_depend_on_have_succeeded():
    async def story(world: World) -> None:
        main = dag(a=[], b=["a"], c=["a"], d=["b", "c"])
        await world.client.create(WORKFLOWS, a_workflow(main, *map(a_step, "abcd")))
        seen = []
        for _ in range(4):
            await asyncio.sleep(10 if not seen else 31)
            seen.append(await running(world))
        assert seen == [["a"], ["b", "c"], ["d"], []]
        assert await phase(world) == "Succeeded"

    in_world(story)


def test_suspending_a_running_workflow_lets_its_step_go_on_and_starts_no_other():
    async def story(world: World) -> None:
        main = steps(("a",), ("b",))
        await world.client.create(WORKFLOWS, a_workflow(main, a_step("a"), a_step("b")))
        await asyncio.sleep(10)
        await change(world, suspend=True)
        await asyncio.sleep(50)
        assert set((await world.phases()).values()) == {"Succeeded"}
        assert len(await world.pods()) == 1
        assert await phase(world) == "Running"
        await change(world, suspend=False)
        await asyncio.sleep(5)
        assert await running(world) == ["b"]
        await asyncio.sleep(30)
        assert await phase(world) == "Succeeded"

    in_world(story)


def test_a_failing_step_ends_the_workflow():
    async def story(world: World) -> None:
        main = steps(("a",), ("b",))
        templates = (main, a_step("a", "sleep 5; exit 4"), a_step("b"))
        await world.client.create(WORKFLOWS, a_workflow(*templates))
        await asyncio.sleep(30)
        status = (await world.get(WORKFLOWS, "wf"))["status"]
        assert status["phase"] == "Failed"
        assert status["message"].startswith("child 'wf-")
        assert "main: Error (exit code 4)" in [n.get("message") for n in status["nodes"].values()]
        assert len(await world.pods()) == 1

    in_world(story)


@pytest.mark.parametrize("strategy", ["Terminate", "Stop"])
def test_a_workflow_that_is_shut_down_fails_and_its_pods_go(strategy: str):
    async def story(world: World) -> None:
        main = steps(("a",), ("b",))
        await world.client.create(WORKFLOWS, a_workflow(main, a_step("a"), a_step("b")))
        await asyncio.sleep(10)
        await change(world, shutdown=strategy)
        await asyncio.sleep(5)
        status = (await world.get(WORKFLOWS, "wf"))["status"]
        assert (status["phase"], status["message"]) == (
            "Failed",
            f"Stopped with strategy '{strategy}'",
        )
        assert await world.pods() == []

    in_world(story)


def test_a_suspend_template_waits_for_its_duration_or_for_somebody():
    async def story(world: World) -> None:
        waits = {"name": "waits", "suspend": {"duration": "20s"}}
        halts = {"name": "halts", "suspend": {}}
        main = steps(("waits",), ("a",), ("halts",), ("b",))
        await world.client.create(
            WORKFLOWS,
            a_workflow(main, waits, halts, a_step("a", "sleep 5"), a_step("b", "sleep 5")),
        )
        await asyncio.sleep(10)
        assert await world.pods() == []
        await asyncio.sleep(60)
        assert len(await world.pods()) == 1
        nodes = (await world.get(WORKFLOWS, "wf"))["status"]["nodes"]
        (waiting,) = (name for name, node in nodes.items() if node["templateName"] == "halts")
        ended = {"status": {"nodes": {waiting: {"phase": "Succeeded"}}}}
        await world.client.patch(WORKFLOWS, "default", "wf", ended)
        await asyncio.sleep(20)
        assert await phase(world) == "Succeeded"
        assert len(await world.pods()) == 2

    in_world(story)


def test_a_workflow_past_its_deadline_fails():
    async def story(world: World) -> None:
        await world.client.create(
            WORKFLOWS, a_workflow(a_step("main", "sleep 1h"), activeDeadlineSeconds=60)
        )
        await asyncio.sleep(70)
        assert await phase(world) == "Failed"
        assert await world.pods() == []

    in_world(story)


def test_a_deleted_workflow_takes_its_pods_along():
    async def story(world: World) -> None:
        await world.client.create(WORKFLOWS, a_workflow())
        await asyncio.sleep(5)
        assert await world.phases() == {"wf": "Running"}
        await world.client.delete(WORKFLOWS, "default", "wf", propagation="Background")
        await asyncio.sleep(5)
        assert await world.pods() == []

    in_world(story)


def test_a_finished_workflow_is_deleted_after_its_time_to_live():
    async def story(world: World) -> None:
        await world.client.create(WORKFLOWS, a_workflow(ttlStrategy={"secondsAfterCompletion": 60}))
        await asyncio.sleep(60)
        assert await phase(world) == "Succeeded"
        await asyncio.sleep(60)
        assert await world.is_gone(WORKFLOWS, "wf")

    in_world(story)


@pytest.mark.parametrize("pause", [0.0, 0.3, 1.1])
def test_killed_again_and_again_each_step_still_runs_once(pause: float):
    async def story(world: World) -> None:
        main = steps(("a",), ("b",))
        workflow = a_workflow(main, a_step("a", "sleep 3"), a_step("b", "sleep 3"), suspend=True)
        await world.client.create(WORKFLOWS, workflow)
        for round_ in range(12):
            await world.kill_simulator()
            if round_ == 4:
                await change(world, suspend=False)
            world.start_simulator()
            await asyncio.sleep(pause)
        await asyncio.sleep(40)
        assert await phase(world) == "Succeeded"
        assert len(await world.pods()) == 2

    in_world(story)


# One look at a time.


def look(workflow: Object, **phases: str) -> Outcome:
    """What is decided once the steps named have pods in these phases."""
    first = plan(workflow, [], NOW)
    pods = [
        pod_view({"metadata": {"name": each.wanted.name}, "status": {"phase": phases[name]}})
        for each in first.create
        if (name := each.wanted.name.split("-")[1]) in phases
    ]
    return plan({**workflow, "status": first.status}, pods, NOW + 10)


def started(outcome: Outcome) -> list[str]:
    return [each.wanted.name.split("-")[1] for each in outcome.create]


@pytest.mark.parametrize(
    ("main", "phases", "expected", "ends"),
    [
        (steps(("a", "b"), ("c",)), {}, ["a", "b"], "Running"),
        (steps(("a", "b"), ("c",)), {"a": "Succeeded", "b": "Running"}, [], "Running"),
        (steps(("a", "b"), ("c",)), {"a": "Succeeded", "b": "Succeeded"}, ["c"], "Running"),
        (steps(("a", "b"), ("c",)), {"a": "Failed", "b": "Running"}, [], "Running"),
        (steps(("a", "b"), ("c",)), {"a": "Failed", "b": "Succeeded"}, [], "Failed"),
        (dag(a=[], b=["a"]), {}, ["a"], "Running"),
        (dag(a=[], b=["a"]), {"a": "Succeeded"}, ["b"], "Running"),
        (dag(a=[], b=["a"]), {"a": "Failed"}, [], "Failed"),
        (dag(a=[], b=[], c=["a"]), {"a": "Succeeded", "b": "Failed"}, [], "Failed"),
        (dag(a=["b"], b=["a"]), {}, [], "Error"),
        (dag(a=["nobody"]), {}, [], "Error"),
        (steps(("nobody",)), {}, [], "Failed"),
        ({"name": "main", "http": {"url": "x"}}, {}, [], "Error"),
        (steps(("main",)), {}, [], "Failed"),
        (steps(("main", "main2")), {}, [], "Failed"),
        (dag(**{f"t{number}": [] for number in range(501)}), {}, [], "Error"),
        ({"name": "main", "steps": []}, {}, [], "Succeeded"),
    ],
)
def test_what_has_ended_decides_what_is_started(
    main: Object, phases: dict[str, str], expected: list[str], ends: str
):
    outcome = look(a_workflow(main, *map(a_step, "abc")), **phases)
    assert started(outcome) == expected
    assert outcome.status["phase"] == ends


def test_a_step_with_items_runs_once_for_each():
    main = {"name": "main", "steps": [[{"name": "a", "template": "a", "withItems": [1, 2, 3]}]]}
    assert started(plan(a_workflow(main, a_step("a")), [], NOW)) == ["a", "a", "a"]


def test_a_script_runs_as_long_as_its_source_says():
    main = {"name": "main", "script": {"image": "sh", "command": ["sh"], "source": "sleep 7"}}
    (pod,) = plan(a_workflow(main), [], NOW).create
    assert pod.template["spec"]["containers"][0]["command"] == ["sh", "-c", "sleep 7"]


def test_a_manifest_full_of_nonsense_hurts_nobody():
    for nonsense in (None, 3, "x", [], {"templates": 4}, {"templates": [1, {"name": []}]}):
        for status in ({}, {"phase": "Running", "nodes": [1]}, {"phase": "Odd", "nodes": {"a": 1}}):
            plan({"metadata": {"name": "a"}, "spec": nonsense, "status": status}, [], NOW)
