"""What is said about a cluster that cannot hold annotated jobs at their creation."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from kube_queue.app.permissions import NO_POLICIES, say_when_too_old
from kube_queue.kube.client import Client
from tests.kube.scripted import Asked, Refusal, ScriptedTransport

VALIDATING = {"name": "validatingadmissionpolicies"}
MUTATING = {"name": "mutatingadmissionpolicies"}


def said_about(answer: Any) -> list[str]:
    def handler(asked: Asked) -> Any:
        assert asked.path == "/apis/admissionregistration.k8s.io/v1"
        return answer.response() if isinstance(answer, Refusal) else answer

    with capture_logs() as logs:
        asyncio.run(say_when_too_old(Client(ScriptedTransport(handler=handler))))
    return [entry["event"] for entry in logs if entry["log_level"] == "warning"]


def test_a_cluster_without_mutating_policies_is_told_in_one_line():
    assert said_about({"resources": [VALIDATING]}) == [NO_POLICIES]


@pytest.mark.parametrize(
    "answer",
    [{"resources": [VALIDATING, MUTATING]}, Refusal(404, "NotFound"), Refusal(403, "Forbidden")],
    ids=["it has them", "it is no Kubernetes", "it does not say"],
)
def test_nothing_is_said_where_nothing_is_known_to_be_missing(answer: Any):
    assert said_about(answer) == []
