"""What the co-scheduler says of a pod or gang, as JSON and as text."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kube_queue.api.types import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES
from kube_queue.app.rebuilt import rebuilt_placement_answer
from kube_queue.cli.explain_placement import placement_explained
from kube_queue.serving.placement import FITS_NOW, STANDS_BY, PlacementVisibility
from tests.controller.queueing.world import a_leaf, a_root
from tests.controller.scheduling.test_volumes import a_claim, a_class
from tests.controller.scheduling.world import World, a_node, a_pod, in_world
from tests.placement.builders import ZONE
from tests.placement.playing import gang

CONSTRAINT = "alibabacloud.com/topology-aware-constraint"
ONE_ZONE = orjson.dumps({"name": "z", "required": {"topologies": [{"key": ZONE}]}}).decode()


def ask(world: World, name: str, kind: str = "") -> dict[str, Any]:
    visibility = PlacementVisibility(lambda: world.side)
    query = {"namespace": "default", "name": name, "kind": kind}
    status, body = visibility.answer("explain", query)
    answer: dict[str, Any] = orjson.loads(body)
    assert status == 200, answer
    return answer


def test_a_pod_that_fits_nowhere_is_told_the_reasons_of_nodes_with_their_counts() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="2"), a_node("n2").having(cpu="8"))
        await world.create(a_node("n3").tainted("gpu"), a_pod("other").asking(cpu="7"))
        await world.settle()
        await world.create(a_pod("p").asking(cpu="4"))
        await world.settle()
        answer = ask(world, "p")
        assert (answer["state"], answer["nodes"]) == ("Waiting", 3)
        reasons = {one["reason"]: (one["nodes"], one["permanent"]) for one in answer["reasons"]}
        assert reasons["node(s) had untolerated taint {gpu: }"] == (1, True)
        assert {(1, True), (1, False)} == {
            (one["nodes"], one["permanent"])
            for one in answer["reasons"]
            if one["reason"] == "Insufficient cpu"
        }
        assert answer["waitsFor"] == ["a pod that leaves a node", "a node that comes or changes"]
        text = placement_explained(answer)
        assert text.startswith("Pod default/p: waits for a node\n  0/3 nodes are available: ")
        assert "Of 3 nodes:" in text

    in_world(story)


def test_a_gang_is_told_its_minimum_and_the_member_that_decides() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="2"), *gang("g", 3, 3, cpu="1"))
        await world.settle()
        answer = ask(world, "g", "gang")
        assert (answer["kind"], answer["gang"]["minimum"], answer["gang"]["waiting"]) == (
            "Gang",
            3,
            3,
        )
        assert answer["reasons"][0]["reason"] == "Insufficient cpu"
        assert answer["member"] == "g-2"
        text = placement_explained(answer)
        assert "  Gang:       g (labels), minimum 3: 0 on nodes, 3 waiting" in text
        assert "Of 1 nodes for pod g-2:" in text
        assert ask(world, "g-0")["gang"]["name"] == "g"

    in_world(story)


def test_a_gang_that_is_not_complete_waits_for_its_pods() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), *gang("g", 2, 5))
        await world.settle()
        answer = ask(world, "g")
        assert answer["waitsFor"] == ["3 more of its pods, without a scheduling gate"]
        assert answer["message"] == "rejected by podgroup g: 2 of at least 5 pods are there"

    in_world(story)


def test_a_constrained_gang_is_told_domain_by_domain_what_there_is_room_for() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").in_zone("a").having(cpu="2"))
        await world.create(a_node("n2").in_zone("b").having(cpu="1"))
        await world.create(
            *[pod.annotated(**{CONSTRAINT: ONE_ZONE}) for pod in gang("g", 3, 3, cpu="1")]
        )
        await world.settle()
        answer = ask(world, "g")
        assert answer["domainKeys"] == [ZONE]
        rooms = {
            one["name"]: (one["nodes"], one["room"], one["needed"]) for one in answer["domains"]
        }
        assert rooms == {"a": (1, 2, 3), "b": (1, 1, 3)}
        assert "a        1       2 of 3" in placement_explained(answer)

    in_world(story)


@pytest.mark.parametrize("kind", ["", "pod"])
def test_pods_that_do_not_wait_are_told_how_they_stand(kind: str) -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), a_pod("stands"), a_pod("gated").gated())
        await world.create(a_pod("other").of_scheduler("default-scheduler"))
        await world.settle()
        texts = {
            name: placement_explained(ask(world, name, kind)).splitlines()[0]
            for name in ("stands", "gated", "other")
        }
        assert texts == {
            "stands": "Pod default/stands: stands on n1",
            "gated": "Pod default/gated: is held by a scheduling gate",
            "other": "Pod default/other: is placed by another scheduler, default-scheduler",
        }

    in_world(story)


def test_what_holds_a_pod_is_told_in_its_first_line() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=1)))
        await world.create(a_node("n1").having(cpu="2"))
        await world.create(a_pod("runs").asking(cpu="1"))
        await world.settle()
        await world.create(a_pod("beyond").asking(cpu="1"), *gang("few", 1, 3))
        await world.create(a_pod("alone").labelled(**{"scheduling.x-k8s.io/pod-group": "none"}))
        await world.create(a_pod("odd").mounting("none"))
        await world.settle(5)
        firsts = {
            name: placement_explained(ask(world, name, "pod")).splitlines()[0].partition(": ")[2]
            for name in ("beyond", "few-0", "alone", "odd")
        }
        assert firsts == {
            "beyond": "waits for quota",
            "few-0": "waits for the rest of its gang",
            "alone": "waits for the rest of its gang",
            "odd": "cannot be placed as it is",
        }
        assert ask(world, "alone")["waitsFor"] == ["the PodGroup or gang that it names"]

    in_world(story)


def test_a_gang_that_has_its_minimum_is_not_said_to_wait_as_a_whole() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="2"), *gang("g", 3, 2, cpu="1"))
        await world.settle(5)
        text = placement_explained(ask(world, "g", "gang"))
        assert text.startswith("Gang default/g: has its minimum; 1 more: waits for a node\n")

    in_world(story)


def test_who_leaves_for_a_pod_is_named_while_they_leave() -> None:
    async def story(world: World) -> None:
        await world.create_priority("high", 100)
        await world.create(a_node("n1").having(cpu="1"))
        await world.create(a_pod("low").asking(cpu="1"))
        await world.settle()
        await world.create(a_pod("high").asking(cpu="1").of_class("high"))
        await world.settle()
        answer = ask(world, "high")
        assert (answer["held"], answer["leaving"]) == ("Leaving", ["default/low"])
        text = placement_explained(answer)
        assert text.startswith("Pod default/high: waits for pods that leave for it\n")
        assert "  Leaving:    default/low\n" in text
        assert "  Waits for:  the pods that leave for it to be gone\n" in text

    in_world(story)


def test_a_pod_that_may_evict_nobody_is_told_so() -> None:
    async def story(world: World) -> None:
        await world.create_priority("patient", 100, preempts=False)
        await world.create(a_node("n1").having(cpu="1"), a_pod("low").asking(cpu="1"))
        await world.settle()
        await world.create(a_pod("p").asking(cpu="1").of_class("patient"))
        await world.settle()
        notice = ask(world, "p")["notice"]
        assert notice == "its preemptionPolicy is Never: it evicts no pods of lower priority"

    in_world(story)


def test_a_pod_whose_volumes_come_first_is_told_for_which_claims() -> None:
    async def story(world: World) -> None:
        await world.user.create(STORAGE_CLASSES, a_class("example.com/disks"))
        await world.user.create(PERSISTENT_VOLUME_CLAIMS, a_claim("data"))
        await world.create(a_node("n1"), a_pod("p").mounting("data"))
        await world.settle(5)
        answer = ask(world, "p")
        assert (answer["state"], answer["claims"]) == ("Binding", ["data"])
        assert "  Volumes:    bound or made first, for data" in placement_explained(answer)

    in_world(story)


def test_a_pod_that_finds_no_volume_waits_for_one() -> None:
    async def story(world: World) -> None:
        await world.user.create(STORAGE_CLASSES, a_class())
        await world.user.create(PERSISTENT_VOLUME_CLAIMS, a_claim("data"))
        await world.create(a_node("n1"), a_pod("p").mounting("data"))
        await world.settle(5)
        assert ask(world, "p")["waitsFor"] == [
            "a node that comes or changes",
            "a volume or claim that does",
        ]

    in_world(story)


def test_what_is_unknown_or_no_question_is_refused_in_a_sentence() -> None:
    async def story(world: World) -> None:
        visibility = PlacementVisibility(lambda: world.side)

        def refused(what: str, **query: str) -> tuple[int, str]:
            status, body = visibility.answer(what, query)
            return status, orjson.loads(body)["error"]

        status, sentence = refused("explain", namespace="default", name="x", kind="pod")
        assert (status, sentence) == (404, "the co-scheduler knows no pod default/x")
        assert refused("explain", namespace="default")[0] == 400
        assert refused("explain", namespace="default", name="x", kind="TFJob")[0] == 404
        assert refused("units")[0] == 404
        by = PlacementVisibility(lambda: None).answer("explain", {})
        assert (by[0], orjson.loads(by[1])) == (503, {"error": STANDS_BY})

    in_world(story)


def test_where_nobody_answers_the_answer_is_made_from_the_clusters_objects() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="2"), a_node("n2").having(cpu="3"))
        await world.create_priority("high", 100)
        await world.create(a_pod("there").asking(cpu="1").on("n2"))
        await world.create(a_pod("fits").asking(cpu="1"), a_pod("large").asking(cpu="4"))
        await world.create(a_pod("evicts").asking(cpu="3").of_class("high"))
        answers = {}
        for name in ("fits", "large", "evicts"):
            query = {"namespace": "default", "name": name}
            status, body = await rebuilt_placement_answer(world.user, "explain", query)
            assert status == 200
            answers[name] = orjson.loads(body)
        text = placement_explained(answers["fits"])
        assert text.startswith(f"Pod default/fits: waits for a co-scheduler\n  {FITS_NOW}\n")
        # In truth nobody is evicted.
        assert (answers["evicts"]["held"], answers["evicts"]["leaving"]) == ("Node", [])
        assert answers["large"]["reasons"][0]["reason"] == "Insufficient cpu"
        assert await world.bound() == {"there"}

    in_world(story, start=False)
