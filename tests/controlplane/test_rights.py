"""The rights we ship, held against what was asked of an API server."""

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.rbac import NOT_PLAYED, Right, asked, granted, judge
from kube_queue.app.kubernetes import node_manifests
from kube_queue.app.permissions import ACCOUNTS
from kube_queue.simulator.profile import PROFILES, profile_named

USER = "system:serviceaccount:kube-queue:"


def event(right: Right, *, allowed: bool = True, user: str = "") -> dict[str, Any]:
    resource, _, subresource = right.resource.partition("/")
    about = {
        "resource": resource,
        "subresource": subresource,
        "apiGroup": right.group,
        "namespace": right.namespace or "default",
        "name": right.name or "any",
    }
    decision = "allow" if allowed else "forbid"
    return {
        "user": {"username": user or USER + right.account},
        "verb": right.verb,
        "objectRef": about,
        "annotations": {"authorization.k8s.io/decision": decision},
    }


def write_log(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return path


def test_each_account_has_rights_and_none_has_everything():
    rights = granted()
    assert {right.account for right in rights} == set(ACCOUNTS)
    assert not any("*" in (right.verb, right.resource, right.group) for right in rights)
    assert not any(right.resource == "secrets" for right in rights)
    assert len(set(rights)) == len(rights)


def test_leases_and_automatic_queues_are_written_in_our_namespace_only():
    for right in granted():
        if right.resource == "leases" or (right.resource == "queues" and right.verb == "create"):
            assert right.namespace == "kube-queue", right


def test_rights_that_were_all_used_are_right(tmp_path: Path):
    assert judge(write_log(tmp_path / "log", *map(event, granted()))) == []


@pytest.mark.parametrize("missing", granted(), ids=str)
def test_a_right_that_nobody_used_is_named(tmp_path: Path, missing: Right):
    used = [event(right) for right in granted() if right != missing]
    told = judge(write_log(tmp_path / "log", *used))
    # A right on any object also stands for one on a named object.
    covered = any(right.covers(missing) for right in granted() if right != missing)
    excused = str(missing) in NOT_PLAYED
    assert told == ([] if covered or excused else [f"never used: {missing}"])


def test_an_excuse_for_a_right_that_is_not_granted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(NOT_PLAYED, "somebody: get secrets", "for nothing")
    told = judge(write_log(tmp_path / "log", *map(event, granted())))
    assert told == ["excused and not granted: somebody: get secrets"]


def test_a_request_that_was_refused_is_named(tmp_path: Path):
    wish = Right(ACCOUNTS[0], "get", "", "secrets", "default", "any")
    log = write_log(tmp_path / "log", *map(event, granted()), event(wish, allowed=False))
    assert judge(log) == [f"refused: {ACCOUNTS[0]}: get secrets any in default"]


def test_the_requests_of_others_do_not_count(tmp_path: Path):
    stranger = event(granted()[0], user="kube-queue-admin")
    assert list(asked(write_log(tmp_path / "log", stranger))) == []


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_the_nodes_of_a_profile_differ_in_name_and_address(name: str):
    nodes = node_manifests(profile_named(name, nodes=300))
    assert len({node["metadata"]["name"] for node in nodes}) == 300
    assert len({node["status"]["addresses"][0]["address"] for node in nodes}) == 300
    assert nodes[0]["status"]["capacity"]["cpu"] == PROFILES[name].cpu
