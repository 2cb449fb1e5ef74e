"""What the queue knows, as JSON, from memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kube_queue.api.types import QUEUE_UNITS
from tests.controller.queueing.world import a_leaf, a_root, a_unit_manifest
from tests.serving.cluster import SETTINGS, Cluster, cluster


@pytest.fixture
async def busy() -> AsyncIterator[Cluster]:
    """One unit runs on 3 of 4 cpu, two of 3 cpu wait."""
    async with cluster(SETTINGS.replaced(controller={"strict_consistency": True})) as made:
        await made.create_tree(a_root(a_leaf("default", cpu=4, min={"cpu": 1})))
        await made.create_unit("u1", cpu=3, job="job1")
        await made.phases({"u1": "Dequeued"})
        await made.create_unit("u2", cpu=3, job="job2")
        await made.create_unit("u3", cpu=3, job="job3", priority=5)
        await made.phases({"u1": "Dequeued", "u2": "Enqueued", "u3": "Enqueued"})
        yield made


async def test_units_stand_in_the_order_of_their_queue(busy: Cluster) -> None:
    status, answer = await busy.get("/visibility/v1/units")
    assert status == 200
    assert answer["total"] == 3
    assert [(one["name"], one["position"]) for one in answer["units"]] == [
        ("u3", 1),
        ("u2", 2),
        ("u1", 0),
    ]
    first, _, last = answer["units"]
    assert first["request"] == {"cpu": "3"}
    assert first["job"]["name"] == "job3"
    assert (first["queue"], first["quota"]) == ("root-default", "root/default")
    assert first["reason"] == "InsufficientQuota"
    assert "used 3" in first["message"]
    assert first["waitedSeconds"] >= 0
    assert last["phase"] == "Dequeued" and last["waitedSeconds"] is None


async def test_units_can_be_chosen_and_cut(busy: Cluster) -> None:
    _, answer = await busy.get("/visibility/v1/units?limit=1")
    assert (len(answer["units"]), answer["total"]) == (1, 3)
    _, answer = await busy.get("/visibility/v1/units?namespace=elsewhere")
    assert answer == {"units": [], "total": 0}
    _, answer = await busy.get("/visibility/v1/units?queue=root-default")
    assert answer["total"] == 3


@pytest.mark.parametrize("limit", ["-1", "many", "1.5", "٣"])
async def test_a_limit_that_is_no_number_is_refused(busy: Cluster, limit: str) -> None:
    status, answer = await busy.get(f"/visibility/v1/units?limit={limit}")
    assert status == 400
    assert answer["error"].startswith("limit:")


async def test_queues_show_their_counts(busy: Cluster) -> None:
    _, answer = await busy.get("/visibility/v1/queues")
    assert answer["queues"] == [
        {
            "namespace": "kube-queue",
            "name": "root-default",
            "policy": "Priority",
            "notice": "",
            "priority": 0,
            "stopPolicy": "None",
            "quotaPath": "root/default",
            "createdByUs": True,
            "pending": 2,
            "reserved": 0,
            "admitted": 1,
            "head": "default/u3",
        }
    ]


async def test_quotas_show_the_tree_with_sums_and_bounds(busy: Cluster) -> None:
    _, answer = await busy.get("/visibility/v1/quotas")
    assert answer["tree"]["name"] == "elasticquotatree"
    assert answer["tree"]["valid"] is True
    root, leaf = answer["quotas"]
    assert (root["path"], root["parent"], root["leaf"]) == ("root", None, False)
    assert leaf["path"] == "root/default" and leaf["parent"] == "root"
    assert leaf["namespaces"] == ["default"]
    assert leaf["used"]["cpu"] == "3"
    assert leaf["request"]["cpu"] == "9"
    assert (leaf["min"]["cpu"], leaf["max"]["cpu"]) == ("1", "4")


async def test_a_cluster_without_a_tree_has_no_quotas() -> None:
    async with cluster() as made:
        _, answer = await made.get("/visibility/v1/quotas")
        assert answer == {"system": "elasticquota", "tree": None, "quotas": []}


@pytest.mark.parametrize(
    "query",
    ["name=job2", "name=u2", "name=job2&kind=job", "name=job2&kind=Jobs", "name=u2&kind=qu"],
)
async def test_a_waiting_job_is_explained_by_its_name_or_its_units(
    busy: Cluster, query: str
) -> None:
    status, answer = await busy.get(f"/visibility/v1/explain?namespace=default&{query}")
    assert status == 200
    assert (answer["name"], answer["job"]["name"]) == ("u2", "job2")
    assert answer["position"] == 2
    assert answer["policy"] == "Priority"
    assert answer["reason"] == "InsufficientQuota"
    assert "root/default" in answer["waitsFor"]
    leaf, root = answer["levels"]
    assert (leaf["path"], root["path"]) == ("root/default", "root")
    assert leaf["resources"] == [
        {
            "resource": "cpu",
            "requested": "3",
            "used": "3",
            "min": "1",
            "max": "4",
            "available": "1",
            "minUsed": None,
            "minAvailable": None,
        }
    ]
    assert root["resources"][0]["max"] is None
    (shortage,) = answer["shortages"]
    assert (shortage["path"], shortage["bound"]) == ("root/default", "max")
    assert (shortage["requested"], shortage["missing"]) == ("3", "2")
    (holder,) = answer["holders"]["top"]
    assert (holder["name"], holder["job"]["name"], holder["amount"]) == ("u1", "job1", "3")
    assert (holder["quota"], holder["borrowed"]) == ("root/default", "2")
    assert (answer["holders"]["more"], answer["holders"]["unmanaged"]) == (0, "0")
    assert answer["nextTry"].startswith("on a release of cpu in root/default; Priority")
    assert answer["estimate"] == {
        "earliestSeconds": 0.0,
        "latestSeconds": None,
        "unknown": "the one unit that holds quota root/default has no known run time",
    }
    assert (answer["head"], answer["leaving"]) == (None, [])


async def test_an_admitted_job_is_explained_without_shortages(busy: Cluster) -> None:
    _, answer = await busy.get("/visibility/v1/explain?namespace=default&name=job1")
    assert answer["phase"] == "Dequeued"
    assert answer["shortages"] == [] and answer["waitsFor"] == ""


@pytest.mark.parametrize("name", ["job9", "root-default"])
async def test_an_unknown_job_is_said_to_be_unknown(busy: Cluster, name: str) -> None:
    status, answer = await busy.get(f"/visibility/v1/explain?namespace=default&name={name}")
    assert status == 404
    assert f"default/{name}" in answer["error"]


async def test_a_name_that_several_have_is_answered_by_the_ways_to_tell_them_apart(
    busy: Cluster,
) -> None:
    await busy.create_unit("u4", cpu=1, job="u2")
    await busy.phases(
        {"u1": "Dequeued", "u2": "Enqueued", "u3": "Enqueued", "u4": "Dequeued"},
    )
    status, answer = await busy.get("/visibility/v1/explain?namespace=default&name=u2")
    assert status == 409
    assert answer["error"] == (
        "2 jobs or units of namespace default are called u2; "
        "ask for one of them: Job/u2, QueueUnit/u2"
    )
    for kind, unit in (("job", "u4"), ("QueueUnit", "u2")):
        query = f"namespace=default&name=u2&kind={kind}"
        status, answer = await busy.get(f"/visibility/v1/explain?{query}")
        assert (status, answer["name"]) == (200, unit)


async def test_a_released_job_says_what_its_status_says(busy: Cluster) -> None:
    status = {"phase": "Running", "reason": "PodsReady", "message": "3 pods run"}
    await busy.user.patch(QUEUE_UNITS, "default", "u1", {"status": status}, subresource="status")
    await busy.phases({"u1": "Running", "u2": "Enqueued", "u3": "Enqueued"})
    _, answer = await busy.get("/visibility/v1/units")
    (told,) = [one for one in answer["units"] if one["name"] == "u1"]
    assert (told["reason"], told["message"]) == ("PodsReady", "3 pods run")


async def test_explain_without_a_name_is_refused(busy: Cluster) -> None:
    status, answer = await busy.get("/visibility/v1/explain?namespace=default")
    assert status == 400
    assert "name" in answer["error"]


async def test_the_numbers_of_a_message_are_those_of_now(busy: Cluster) -> None:
    await busy.user.delete(QUEUE_UNITS, "default", "u1")
    await busy.phases({"u2": "Enqueued", "u3": "Dequeued"})
    _, answer = await busy.get("/visibility/v1/explain?namespace=default&name=u2")
    assert answer["position"] == 1
    assert "used 3" in answer["message"]


@pytest.mark.parametrize(
    ("active", "status"),
    [
        (False, {"reason": "AdmissionCheckRejected", "message": "rejected by check budget"}),
        (
            True,
            {
                "phase": "TimeoutBackoff",
                "reason": "RunningTimeout",
                "message": "the job did not run within 5 s",
                "requeueState": {"requeueAt": "2100-01-01T00:00:00Z"},
            },
        ),
    ],
)
async def test_a_unit_that_was_put_aside_is_told_by_what(
    active: bool, status: dict[str, object]
) -> None:
    unit = a_unit_manifest("u1", job="job1")
    unit["spec"]["active"] = False
    async with cluster() as made:
        await made.create_tree(a_root(a_leaf("default")))
        await made.user.create(QUEUE_UNITS, unit)
        where = (QUEUE_UNITS, "default", "u1")
        await made.user.patch(*where, {"status": status}, subresource="status")
        await made.user.patch(*where, {"spec": {"active": active}})
        await made.phases({"u1": str(status.get("phase", "Enqueued"))})
        _, answer = await made.get("/visibility/v1/explain?namespace=default&name=u1")
        assert (answer["reason"], answer["message"]) == (status["reason"], status["message"])
