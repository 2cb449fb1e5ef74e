"""Verbs on typed paths."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from kube_queue.api.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound, ServerFault
from kube_queue.api.types import JOBS, NODES, PODS, QUEUE_UNITS
from kube_queue.app.virtual_time import run_virtual
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.transport import Response
from tests.kube.scripted import Asked, Listed, Refusal, ScriptedTransport, an_object

UNIT = {"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "QueueUnit"}


def asked_by(use: Any) -> Asked:
    """The one request the use of a client sends."""

    async def main() -> Asked:
        transport = ScriptedTransport(handler=lambda asked: {})
        await use(Client(transport))
        (asked,) = transport.asked
        return asked

    return run_virtual(main())


def test_each_verb_is_its_method_on_its_path() -> None:
    unit = {**UNIT, "metadata": {"namespace": "team", "name": "u"}}
    units = "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/team/queueunits"
    cases: list[tuple[Any, str, str]] = [
        (lambda c: c.get(QUEUE_UNITS, "team", "u"), "GET", f"{units}/u"),
        (lambda c: c.get(NODES, "", "n1"), "GET", "/api/v1/nodes/n1"),
        (lambda c: c.create(QUEUE_UNITS, unit), "POST", units),
        (lambda c: c.create(QUEUE_UNITS, UNIT, "team"), "POST", units),
        (lambda c: c.replace(QUEUE_UNITS, unit), "PUT", f"{units}/u"),
        (lambda c: c.replace(QUEUE_UNITS, unit, subresource="status"), "PUT", f"{units}/u/status"),
        (lambda c: c.patch(QUEUE_UNITS, "team", "u", {}), "PATCH", f"{units}/u"),
        (
            lambda c: c.patch(QUEUE_UNITS, "team", "u", {}, subresource="status"),
            "PATCH",
            f"{units}/u/status",
        ),
        (lambda c: c.delete(QUEUE_UNITS, "team", "u"), "DELETE", f"{units}/u"),
        (
            lambda c: c.create_subresource(PODS, "team", "p", "binding", {}),
            "POST",
            "/api/v1/namespaces/team/pods/p/binding",
        ),
    ]
    for use, method, path in cases:
        asked = asked_by(use)
        assert (asked.method, asked.path) == (method, path)


def test_each_kind_of_patch_has_its_content_type() -> None:
    for kind, content_type in (
        ("merge", "application/merge-patch+json"),
        ("json", "application/json-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
    ):
        patch: Any = [] if kind == "json" else {"a": 1}
        asked = asked_by(
            lambda c, patch=patch, kind=kind: c.patch(JOBS, "t", "j", patch, kind=kind)
        )
        assert (asked.content_type, asked.body) == (content_type, patch)


def test_a_delete_says_which_object_how_and_how_soon() -> None:
    asked = asked_by(
        lambda c: c.delete(PODS, "t", "p", uid="u1", propagation="Background", grace_seconds=0)
    )
    assert asked.body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u1"},
        "propagationPolicy": "Background",
        "gracePeriodSeconds": 0,
    }


def test_a_merge_patch_fits_only_the_version_it_was_made_for() -> None:
    changes = {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}
    assert merge_patch("u1", "7", changes) == {
        "metadata": {"labels": {"a": "b"}, "uid": "u1", "resourceVersion": "7"},
        "spec": {"x": 1},
    }
    assert changes["metadata"] == {"labels": {"a": "b"}}
    assert merge_patch("u1", "", {}) == {"metadata": {"uid": "u1"}}


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal(404, "NotFound"), NotFound),
        (Refusal(409, "Conflict"), Conflict),
        (Refusal(409, "AlreadyExists"), AlreadyExists),
        (Refusal(503, "ServiceUnavailable"), ServerFault),
    ],
)
def test_a_refusal_is_raised_as_its_class(refusal: Refusal, kind: type[ApiError]) -> None:
    async def main() -> None:
        client = Client(ScriptedTransport(handler=lambda asked: refusal.response()))
        with pytest.raises(kind, match="refused by the script"):
            await client.get(PODS, "t", "p")
        with pytest.raises(kind):
            await client.raw("GET", "/version")

    run_virtual(main())


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (["metadata.uid"], Conflict),
        (["metadata.uid", "metadata.uid"], Conflict),
        (["spec.x"], Invalid),
        (["metadata.uid", "spec.x"], Invalid),
        ([], Invalid),
    ],
)
def test_a_uid_that_is_another_objects_is_a_conflict_however_the_server_says_it(
    fields: list[str], kind: type[ApiError]
) -> None:
    causes = [{"reason": "FieldValueInvalid", "field": field} for field in fields]
    status = {"reason": "Invalid", "message": "immutable", "details": {"causes": causes}}

    async def main() -> None:
        answer = Response(422, CIMultiDict(), orjson.dumps(status))
        client = Client(ScriptedTransport(handler=lambda asked: answer))
        with pytest.raises(kind, match="immutable"):
            await client.patch(PODS, "t", "p", merge_patch("other", "", {}))

    run_virtual(main())


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[]", b""])
def test_an_answer_that_is_no_object_is_a_fault_of_the_server(body: bytes) -> None:
    async def main() -> None:
        answer = Response(200, CIMultiDict(), body)
        client = Client(ScriptedTransport(handler=lambda asked: answer))
        with pytest.raises(ServerFault, match="is this a Kubernetes API"):
            await client.get(PODS, "t", "p")

    run_virtual(main())


def test_a_list_has_every_page_and_every_item_its_kind() -> None:
    async def main() -> None:
        transport = ScriptedTransport(
            [
                Listed("1", [an_object("a", "1")], token="next"),
                Listed("1", [an_object("b", "2")]),
            ]
        )
        items = await Client(transport).list(
            PODS, "team", label_selector="a=b,c", field_selector="spec.nodeName=n1"
        )
        assert [one["metadata"]["name"] for one in items] == ["a", "b"]
        assert {(one["apiVersion"], one["kind"]) for one in items} == {("v1", "Pod")}
        first, second = transport.asked
        assert first.path == "/api/v1/namespaces/team/pods"
        assert first.query == {
            "labelSelector": "a=b,c",
            "fieldSelector": "spec.nodeName=n1",
            "limit": "500",
        }
        assert second.query["continue"] == "next"

    run_virtual(main())


def test_a_list_that_expires_between_pages_starts_again_in_one_page() -> None:
    async def main() -> None:
        transport = ScriptedTransport(
            [
                Listed("1", [an_object("gone", "1")], token="next"),
                Refusal(410, "Expired"),
                Listed("5", [an_object("a", "1"), an_object("b", "2")]),
            ]
        )
        items = await Client(transport).list(PODS)
        assert [one["metadata"]["name"] for one in items] == ["a", "b"]
        assert transport.asked[2].query == {}

    run_virtual(main())


def test_requests_are_counted_by_verb() -> None:
    async def main() -> None:
        client = Client(ScriptedTransport(handler=lambda asked: {}))
        await client.list(PODS)
        for _ in range(2):
            await client.patch(PODS, "t", "p", {})
        await client.delete(PODS, "t", "p")
        await client.raw("GET", "/version")
        assert client.requests == {"list": 1, "patch": 2, "delete": 1, "raw": 1}

    run_virtual(main())
