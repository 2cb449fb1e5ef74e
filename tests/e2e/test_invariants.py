"""The ledger of the scenarios notices what must not happen, and nothing else."""

from typing import Any

import pytest

from e2e.invariants import Broken, Ledger, agrees
from e2e.jobs import non_preemptible
from e2e.trees import borrowing, leaf, quota_tree, tree
from kube_queue.api.preemption import named_preemptor

Object = dict[str, Any]


def unit(
    name: str, phase: str, cpu: str = "1", *, namespace: str = "default", **status: Any
) -> Object:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
        "spec": {
            "consumerRef": {"name": name, "uid": f"job-{name}"},
            "resource": {"cpu": cpu},
        },
        "status": {"phase": phase, "reason": "Admitted", **status},
    }


def told(name: str, cpu: str = "1", *, by: str, reason: str = "Reclaimed", **more: Any) -> Object:
    message = f"for {named_preemptor('default/x', f'uid-{by}')}"
    condition = {"type": "Evicted", "status": "True", "reason": reason, "message": message}
    return unit(name, "Running", cpu, conditions=[condition], **more)


def live(ledger: Ledger, *steps: Object) -> None:
    """One unit goes through these states."""
    old = None
    for new in steps:
        ledger.unit_seen(old, new)
        old = new


def broken(ledger: Ledger) -> str:
    with pytest.raises(Broken) as caught:
        ledger.check()
    return str(caught.value)


def test_an_admission_above_max_is_noticed_and_an_adoption_is_not():
    ledger = Ledger(tree("2"))
    live(ledger, unit("a", "Dequeued", "2"))
    live(ledger, unit("b", "Dequeued", "1", reason="ReleasedByHand"))
    ledger.check()
    live(ledger, unit("c", "Dequeued", "1"))
    assert "c was admitted and root/root.default holds 4000 of cpu, its max is 2000" in broken(
        ledger
    )


def test_what_pods_that_ended_gave_back_may_be_given_to_others():
    ledger = Ledger(tree("2"))
    part = [{"name": "Worker", "replicas": 1, "resources": {"cpu": "1"}}]
    live(ledger, unit("a", "Dequeued", "2"), unit("a", "Running", "2", admissions=part))
    live(ledger, unit("b", "Dequeued", "1"))
    ledger.check()
    live(ledger, unit("c", "Dequeued", "1"))
    assert "c was admitted and root/root.default holds 3000 of cpu" in broken(ledger)


def test_a_smaller_tree_is_nobodys_fault_until_somebody_is_admitted():
    ledger = Ledger(tree("2"))
    live(ledger, unit("a", "Dequeued", "2"))
    ledger.tree_changed(tree("1"))
    ledger.unit_seen(unit("a", "Dequeued", "2"), unit("a", "Running", "2"))
    ledger.check()
    assert ledger.used("root") == {"cpu": 2000}
    live(ledger, unit("b", "Dequeued", "1"))
    assert "b was admitted" in broken(ledger)


def test_what_cannot_be_taken_back_is_held_against_min():
    ledger = Ledger(quota_tree({}, leaf("default", {"cpu": "9"}, {"cpu": "1"})))
    live(ledger, unit("free", "Dequeued", "3"))
    live(ledger, non_preemptible(unit("first", "Dequeued", "1")))
    ledger.check()
    second = non_preemptible(unit("second", "Dequeued", "1"))
    live(ledger, second)
    assert "its min is 1000" in broken(ledger)


def test_the_number_of_jobs_is_a_limit_as_well():
    ledger = Ledger(tree("9", **{"kube-queue/max-jobs": "1"}))
    live(ledger, unit("a", "Dequeued", "0"))
    live(ledger, unit("b", "Dequeued", "0"))
    assert "kube-queue/max-jobs" in broken(ledger)


def test_quota_that_comes_back_unasked_is_noticed_and_a_second_admission_after_it():
    ledger = Ledger(tree("9"))
    live(ledger, unit("a", "Running"), unit("a", "Enqueued"))
    assert "a went from Running to Enqueued without being evicted" in broken(ledger)


def test_a_second_unit_of_an_admitted_job_is_noticed():
    ledger = Ledger(tree("9"))
    live(ledger, unit("a", "Running"))
    twin = unit("a", "Dequeued")
    twin["metadata"]["uid"] = "uid-twin"
    live(ledger, twin)
    assert "a was admitted twice" in broken(ledger)


@pytest.mark.parametrize(
    "steps",
    [
        (unit("a", "Running"), told("a", by="b"), unit("a", "Enqueued")),
        (unit("a", "Dequeued"), unit("a", "TimeoutBackoff")),
        (unit("a", "Reserved"), unit("a", "Enqueued")),
        (unit("a", "Running"), unit("a", "Enqueued", reason="SuspendedByUser")),
    ],
)
def test_who_gave_quota_back_by_the_rules_may_be_admitted_again(steps: tuple[Object, ...]):
    ledger = Ledger(tree("9"))
    live(ledger, *steps, unit("a", "Dequeued"))
    ledger.check()
    assert ledger.admissions["job-a"] == 2
    assert ledger.returns["job-a"] == 1


def test_an_eviction_for_somebody_who_is_never_admitted_is_noticed_at_rest():
    ledger = Ledger(borrowing("2", ("default", "1"), ("other", "1")))
    live(ledger, unit("a", "Running"), told("a", by="b"))
    with pytest.raises(Broken, match="a had to leave for uid-b"):
        ledger.check_evictions()
    live(ledger, unit("b", "Enqueued"), unit("b", "Dequeued"))
    ledger.check_evictions()


def test_whoever_it_was_for_may_have_gone():
    ledger = Ledger(tree("9"))
    live(ledger, unit("a", "Running"), told("a", by="b"))
    ledger.unit_seen(unit("b", "Enqueued"), None)
    ledger.check_evictions()


def test_two_evictions_of_one_unit_for_the_same_are_noticed():
    ledger = Ledger(tree("9"))
    again = (unit("a", "Running"), told("a", by="b"), unit("a", "Enqueued"))
    live(ledger, *again, *again)
    assert "a was evicted twice for the same unit" in broken(ledger)


def test_who_cannot_be_taken_back_must_not_be_evicted_for_another():
    ledger = Ledger(tree("9"))
    victim = told("a", by="b")
    live(ledger, unit("a", "Running"), non_preemptible(victim))
    assert "a was evicted and is not preemptible" in broken(ledger)


def test_the_status_of_the_tree_has_to_agree_on_every_node():
    ledger = Ledger(tree("9"))
    live(ledger, unit("a", "Running"))
    child = {"name": "root.default", "used": {"cpu": "1", "kube-queue/max-jobs": "1"}}
    root = {"name": "root", "used": {"cpu": "1"}, "children": [child]}
    assert agrees({"status": {"root": root}}, ledger)
    child["used"] = {"cpu": "2"}
    assert not agrees({"status": {"root": root}}, ledger)
    assert not agrees({}, ledger)
