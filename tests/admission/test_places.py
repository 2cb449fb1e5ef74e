"""Where units belong, under an ElasticQuotaTree and under ResourceQuotas."""

from __future__ import annotations

from typing import Any

from kube_queue.admission.decisions import Bound, Shortage
from kube_queue.admission.place import ResourceQuotaPlaces, TreePlaces
from kube_queue.api.quota import parse_tree
from kube_queue.api.reasons import Reason
from kube_queue.api.resource_quota import ResourceQuota, read_resource_quota
from kube_queue.api.units import Unit, project_unit, with_pods

QUOTA = "quota.scheduling.alibabacloud.com/name"


def a_unit(namespace: str = "team", quota: str = "", queue: str = "", **spec: Any) -> Unit:
    labels = {QUOTA: quota} if quota else {}
    whole = {
        "metadata": {"namespace": namespace, "name": "u", "uid": "u", "labels": labels},
        "spec": {"queue": queue, "resource": {"cpu": "2"}, **spec},
    }
    return with_pods(project_unit(whole), whole)


def tree_places() -> TreePlaces:
    leaf = {"name": "team-leaf", "namespaces": ["team"]}
    other = {"name": "inner", "children": [{"name": "deep"}]}
    root = {"name": "root", "children": [leaf, other]}
    metadata = {"namespace": "kube-system", "name": "tree"}
    tree, _ = parse_tree({"metadata": metadata, "spec": {"root": root}})
    return TreePlaces(tree)


def a_quota(**hard: str) -> ResourceQuota:
    return read_resource_quota(
        {"metadata": {"namespace": "team", "name": "q"}, "spec": {"hard": hard}}
    )


def quota_places(**hard: str) -> ResourceQuotaPlaces:
    return ResourceQuotaPlaces({"team": (a_quota(**hard),)}, {"team", "free"})


def test_the_label_names_the_leaf_and_without_it_the_namespace_does() -> None:
    places = tree_places()
    assert places.leaf(a_unit()) == "root/team-leaf"
    assert places.leaf(a_unit(quota="deep")) == "root/inner/deep"
    assert places.leaf(a_unit("elsewhere")) is None


def test_a_units_own_queue_beats_the_automatic_one_of_its_leaf() -> None:
    places = tree_places()
    unit = a_unit(queue="mine")
    assert places.queue(unit, places.leaf(unit)) == "mine"
    unit = a_unit(quota="deep")
    assert places.queue(unit, places.leaf(unit)) == "root-inner-deep"


def test_no_quota_is_said_together_with_what_to_do() -> None:
    hold = tree_places().place(a_unit("lost")).hold
    assert hold is not None and hold.reason is Reason.NO_QUOTA
    assert hold.message == (
        "namespace lost does not belong to any elastic quota; list lost in the namespaces of a "
        "leaf of ElasticQuotaTree kube-system/tree, or name a leaf in the job's label "
        f"{QUOTA}"
    )


def test_a_label_of_an_inner_node_is_said_to_need_a_leaf() -> None:
    hold = tree_places().place(a_unit(quota="inner")).hold
    assert hold is not None
    assert hold.message.startswith("elastic quota inner has children: the label has to name a leaf")


def test_under_a_tree_a_unit_is_charged_what_it_says() -> None:
    unit = a_unit()
    assert tree_places().place(unit).request is unit.request


def test_under_resource_quotas_a_unit_is_charged_the_bounds_of_its_namespace() -> None:
    place = quota_places(cpu="4", pods="9").place(a_unit())
    assert (place.queue, place.leaf, place.hold) == ("ns-team", "ns-team", None)
    assert dict(place.request.items) == {"q:cpu": 2000, "q:pods": 1}


def test_in_a_namespace_without_resource_quotas_nothing_is_charged() -> None:
    place = quota_places(cpu="4").place(a_unit("free"))
    assert (place.leaf, place.hold) == ("ns-free", None)
    assert not place.request


def test_a_template_that_a_resource_quota_refuses_is_held() -> None:
    template = {"spec": {"containers": [{"name": "main"}]}}
    pods = [{"name": "worker", "count": 1, "template": template}]
    hold = quota_places(cpu="4").place(a_unit(podSet=pods, resource={})).hold
    assert hold is not None and hold.reason is Reason.INVALID_FOR_RESOURCE_QUOTA
    assert "must specify requests.cpu for: main" in hold.message


def test_a_bound_of_a_resource_quota_is_named_by_its_namespace_quota_and_key() -> None:
    shortage = Shortage("ns-team", Bound.MAX, "q:requests.cpu", 3000, 2000, 4000)
    assert shortage.message == (
        "ResourceQuota team/q: requests.cpu requested 3, used 2, hard 4; "
        "waits until 1 requests.cpu is released in namespace team"
    )
