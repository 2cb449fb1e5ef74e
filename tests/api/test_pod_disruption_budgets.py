"""PodDisruptionBudgets as those who look for victims read them."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.pod_disruption_budgets import budget_of

WEB = {"app": "web"}


def budget(spec: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "a", "name": "b", "uid": "u"}, "spec": spec, "status": status}


def test_it_protects_the_pods_of_its_namespace_that_its_selector_matches() -> None:
    found = budget_of(budget({"selector": {"matchLabels": WEB}}, disruptionsAllowed=2))
    assert found.allowed == 2
    assert found.protects("a", WEB)
    assert not found.protects("a", {"app": "db"})
    assert not found.protects("other", WEB)


def test_an_empty_selector_protects_everybody_and_none_nobody() -> None:
    assert budget_of(budget({"selector": {}})).protects("a", WEB)
    assert not budget_of(budget({})).protects("a", WEB)


def test_it_allows_nothing_before_a_controller_has_looked_at_it() -> None:
    assert budget_of(budget({"selector": {}})).allowed == 0


@pytest.mark.parametrize(
    ("policy", "healthy", "wanted", "free"),
    [
        (None, 2, 2, True),
        (None, 1, 2, False),
        (None, 0, 0, False),
        ("IfHealthyBudget", 1, 2, False),
        ("AlwaysAllow", 0, 2, True),
    ],
)
def test_pods_that_are_not_ready_may_leave_while_enough_others_are(
    policy: str | None, healthy: int, wanted: int, free: bool
) -> None:
    spec = {"selector": {}, "unhealthyPodEvictionPolicy": policy}
    found = budget_of(budget(spec, currentHealthy=healthy, desiredHealthy=wanted))
    assert found.lets_unready_go is free


@pytest.mark.parametrize("odd", [{}, {"spec": 3}, {"status": [], "metadata": None}])
def test_odd_content_never_raises(odd: dict[str, Any]) -> None:
    assert budget_of(odd).allowed == 0
