"""Installing kube-queue's kinds into a cluster."""

from kube_queue.app.install import is_established


def test_a_kind_whose_conditions_are_still_null_is_not_established() -> None:
    assert not is_established({"status": {"conditions": None}})
    assert not is_established({})


def test_a_kind_is_established_once_its_condition_says_so() -> None:
    condition = {"type": "Established", "status": "False"}
    assert not is_established({"status": {"conditions": [condition]}})
    assert is_established({"status": {"conditions": [{**condition, "status": "True"}]}})
