"""The answers where no controller runs: read off the cluster's objects, and nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.types import ELASTIC_QUOTA_TREES, QUEUE_UNITS, QUEUES
from kube_queue.app import rebuilt
from kube_queue.kube.client import Client
from tests.controller.queueing.world import a_leaf, a_root, a_tree, a_unit_manifest
from tests.serving.cluster import an_api


@pytest.fixture
async def user(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A cluster of 4 cpu in which one unit fits and one does not beside it."""
    monkeypatch.setattr(rebuilt, "log_only_errors", lambda: None)
    server, user = await an_api()
    tree = a_tree(a_root(a_leaf("default", cpu=4)), "elasticquotatree")
    await user.create(ELASTIC_QUOTA_TREES, tree)
    metadata = {
        "name": "root-default",
        "namespace": QUEUE_NAMESPACE,
        "labels": {"create-by-kubequeue": "true"},
        "annotations": {"kube-queue/quota-path": "root/default"},
    }
    queue = {"apiVersion": QUEUES.api_version, "kind": "Queue", "metadata": metadata, "spec": {}}
    await user.create(QUEUES, queue)
    for name in ("u1", "u2"):
        await user.create(QUEUE_UNITS, a_unit_manifest(name, cpu=3, job=f"job-{name}"))
    yield user
    await server.close()


async def asked(user: Client, what: str, **query: str) -> tuple[int, Any]:
    status, body = await rebuilt.rebuilt_answer(user, what, query)
    return status, orjson.loads(body)


async def test_a_unit_that_fits_is_said_to_wait_for_a_controller(user: Client) -> None:
    status, answer = await asked(user, "explain", namespace="default", name="job-u1")
    assert (status, answer["phase"], answer["reason"]) == (200, "Enqueued", "Enqueued")
    assert answer["message"] == "it fits now; nobody admits it while no controller answers"


async def test_a_unit_that_does_not_fit_is_told_what_is_short(user: Client) -> None:
    status, answer = await asked(user, "explain", namespace="default", name="u2")
    assert (status, answer["reason"]) == (200, "InsufficientQuota")
    (shortage,) = answer["shortages"]
    assert (shortage["path"], shortage["resourceQuota"]) == ("root/default", "")
    assert (shortage["resource"], shortage["missing"]) == ("cpu", "2")


async def test_the_quotas_are_those_of_the_tree(user: Client) -> None:
    _, answer = await asked(user, "quotas")
    assert (answer["system"], answer["tree"]["name"]) == ("elasticquota", "elasticquotatree")
    assert [one["path"] for one in answer["quotas"]] == ["root", "root/default"]


async def test_asking_writes_nothing(user: Client) -> None:
    before = await user.list(QUEUE_UNITS)
    await asked(user, "units")
    assert await user.list(QUEUE_UNITS) == before


async def test_an_unknown_job_is_said_to_be_unknown(user: Client) -> None:
    status, answer = await asked(user, "explain", namespace="default", name="nobody")
    sentence = (
        "the queue knows no job or unit default/nobody; "
        "a job is queued if it was created suspended and running job extensions enable its kind"
    )
    assert (status, answer) == (404, {"error": sentence})
