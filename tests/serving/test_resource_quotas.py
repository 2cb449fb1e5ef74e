"""What is told where the ResourceQuotas of namespaces are the quotas: each by its own name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kube_queue.api.types import NAMESPACES, RESOURCE_QUOTAS
from kube_queue.app import rebuilt
from kube_queue.cli.explain import explained
from kube_queue.cli.get import QUOTAS
from tests.serving.cluster import SETTINGS, Cluster, cluster

BY_NAMESPACE = SETTINGS.replaced(controller={"queue_group_plugin": "resourcequota"})


@pytest.fixture
async def busy() -> AsyncIterator[Cluster]:
    """One unit runs on 3 of hard 4 cpu, one that is not preemptible waits; and one elsewhere."""
    async with cluster(BY_NAMESPACE) as made:
        for name, hard in {"compute": {"requests.cpu": "4"}, "memory": {"memory": "8Gi"}}.items():
            quota = {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"hard": hard},
            }
            await made.user.create(RESOURCE_QUOTAS, quota)
        free = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "free"}}
        await made.user.create(NAMESPACES, free)
        await made.create_unit("u1", cpu=3, job="job1", queue="")
        await made.phases({"u1": "Dequeued"})
        fixed = {"quota.scheduling.alibabacloud.com/preemptible": "false"}
        await made.create_unit("u2", cpu=3, job="job2", queue="", labels=fixed)
        await made.create_unit("u3", cpu=3, namespace="free", queue="")
        await made.phases({"u1": "Dequeued", "u2": "Enqueued", "u3": "Dequeued"})
        yield made


async def test_quotas_are_the_resource_quotas_and_namespaces_without_one(busy: Cluster) -> None:
    _, answer = await busy.get("/visibility/v1/quotas")
    assert (answer["system"], answer["tree"]) == ("resourcequota", None)
    compute, memory, free = answer["quotas"]
    assert (compute["path"], compute["name"]) == ("default/compute", "compute")
    assert compute["namespaces"] == ["default"] and compute["resourceQuota"]
    assert compute["used"] == {"requests.cpu": "3"}
    assert compute["request"] == {"requests.cpu": "6"}
    assert (compute["min"], compute["max"]) == ({}, {"requests.cpu": "4"})
    assert (memory["path"], memory["used"]) == ("default/memory", {"memory": "0"})
    assert (free["path"], free["max"], free["resourceQuota"]) == ("ns-free", {}, False)
    assert [QUOTAS.row(row, False) for row in answer["quotas"]] == [
        ("ResourceQuota default/compute", "requests.cpu=3", "-", "requests.cpu=4"),
        ("ResourceQuota default/memory", "memory=0", "-", "memory=8Gi"),
        ("namespace free", "-", "-", "-"),
    ]


async def test_a_waiting_job_is_told_the_resource_quota_the_key_and_its_hard(
    busy: Cluster,
) -> None:
    _, answer = await busy.get("/visibility/v1/explain?namespace=default&name=job2")
    assert answer["reason"] == "InsufficientQuota"
    compute = next(one for one in answer["levels"] if one["resourceQuota"] == "default/compute")
    (resource,) = compute["resources"]
    assert (resource["resource"], resource["max"], resource["min"]) == ("requests.cpu", "4", None)
    (shortage,) = answer["shortages"]
    assert (shortage["resourceQuota"], shortage["resource"], shortage["missing"]) == (
        "default/compute",
        "requests.cpu",
        "2",
    )
    assert answer["holders"]["resourceQuota"] == "default/compute"
    text = explained(answer)
    assert "uses min only" not in text
    assert "Who holds requests.cpu in ResourceQuota default/compute:" in text
    assert "ResourceQuota default/compute: requests.cpu requested 3, used 3, hard 4" in text
    table = [line.split() for line in text.splitlines() if line.startswith("  ResourceQuota")]
    expected = "ResourceQuota default/compute requests.cpu 3 3 4 1 2"
    assert expected.split() in table


async def test_metrics_are_labelled_by_resource_quota_and_key_and_count_cores(
    busy: Cluster,
) -> None:
    _, text = await busy.text("/metrics")
    values = {
        (sample.name, sample.labels.get("quota"), sample.labels.get("resource")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["kube_queue_quota_used", "default/compute", "requests.cpu"] == 3
    assert values["kube_queue_quota_max", "default/compute", "requests.cpu"] == 4
    assert values["kube_queue_quota_request", "default/compute", "requests.cpu"] == 6
    assert values["kube_queue_informer_objects", None, "resourcequotas"] == 2
    assert not any(name == "kube_queue_quota_min" for name, _, _ in values)


@pytest.mark.parametrize("what", ["quotas", "explain", "units"])
async def test_the_answer_without_a_controller_goes_by_the_same_quotas(
    busy: Cluster, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilt, "log_only_errors", lambda: None)
    query = {"namespace": "default", "name": "job2"} if what == "explain" else {}
    words = "&".join(f"{name}={value}" for name, value in query.items())
    _, told = await busy.get(f"/visibility/v1/{what}?{words}")
    status, body = await rebuilt.rebuilt_answer(busy.user, what, query)
    answer = orjson.loads(body)
    assert status == 200

    def timeless(one: object) -> object:
        if isinstance(one, dict):
            return {k: timeless(v) for k, v in one.items() if k not in ("waitedSeconds", "since")}
        return [timeless(each) for each in one] if isinstance(one, list) else one

    assert timeless(answer) == timeless(told)
