"""Pods, jobs and priority classes: what Kubernetes itself adds and forbids."""

from typing import Any

import pytest

from kube_queue.apiserver.rules.quantities import canonical
from kube_queue.apiserver.status import StatusError
from tests.apiserver.client import JOBS, PODS, Api, a_job, a_pod

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


def asking(**resources: Any) -> dict[str, Any]:
    return a_pod(containers=[{"name": "main", "image": "i:1", "resources": resources}])


async def test_a_pod_is_complete_once_it_is_created(api: Api) -> None:
    pod = await api.made(PODS, asking(limits={"cpu": "1500m", "memory": "0.5Gi"}))
    container = pod["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1500m", "memory": "512Mi"}
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert pod["spec"]["schedulerName"] == "default-scheduler"
    assert pod["spec"]["priority"] == 0
    assert len(pod["spec"]["tolerations"]) == 2
    assert pod["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
    assert pod["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (1, "1"),
        ("1000m", "1"),
        (0.5, "500m"),
        ("1.5Gi", "1536Mi"),
        ("2048Ki", "2Mi"),
        ("1e3", "1e3"),
        ("0.1", "100m"),
        ("+5", "5"),
        ("0", "0"),
        ("123456789", "123456789"),
        ("100000k", "100M"),
    ],
)
def test_quantities_are_kept_in_canonical_form(written: Any, kept: str) -> None:
    assert canonical(written, "cpu") == kept
    assert canonical(kept, "cpu") == kept


@pytest.mark.parametrize("written", ["", "1K", "1.2.3", "abc", "1 Gi", "Gi", "0x1", "1e", "٣"])
def test_what_is_no_quantity_is_refused(written: str) -> None:
    with pytest.raises(StatusError, match="quantities must match"):
        canonical(written, "cpu")


async def test_a_malformed_quantity_is_a_bad_request(local: Api) -> None:
    answer = await local.create(PODS, asking(requests={"cpu": "three"}))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert "quantities must match the regular expression" in answer.message


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        (a_pod(containers=[]), "spec.containers"),
        (a_pod(containers=[{"image": "i"}]), "spec.containers[0].name"),
        (a_pod(containers=[{"name": "a"}]), "spec.containers[0].image"),
        (a_pod(containers=[{"name": "A", "image": "i"}]), "spec.containers[0].name"),
        (a_pod(containers=[{"name": "a", "image": "i"}] * 2), "spec.containers[1].name"),
        (a_pod(restartPolicy="Sometimes"), "spec.restartPolicy"),
        (
            asking(requests={"cpu": "2"}, limits={"cpu": "1"}),
            "spec.containers[0].resources.requests",
        ),
    ],
)
async def test_a_pod_that_cannot_run_is_invalid(
    local: Api, pod: dict[str, Any], field: str
) -> None:
    answer = await local.create(PODS, pod)
    assert answer.status == 422
    assert field in answer.causes


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"nodeName": 5}, "Pod.spec.nodeName of type string"),
        ({"containers": "none"}, "Pod.spec.containers of type array"),
        ({"priority": 2**40}, "Pod.spec.priority"),
        ({"hostNetwork": "yes"}, "Pod.spec.hostNetwork of type boolean"),
    ],
)
async def test_a_field_of_a_wrong_type_is_a_bad_request(
    local: Api, spec: dict[str, Any], wanted: str
) -> None:
    answer = await local.create(PODS, a_pod(**spec))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert wanted in answer.message


async def test_a_pod_takes_the_priority_of_its_class(api: Api) -> None:
    await api.made(CLASSES, {"metadata": {"name": "high"}, "value": 1000})
    pod = await api.made(PODS, a_pod(priorityClassName="high"))
    assert pod["spec"]["priority"] == 1000
    missing = await api.create(PODS, a_pod("q", priorityClassName="none"))
    assert (missing.status, missing.reason) == (403, "Forbidden")
    assert "no PriorityClass with name none was found" in missing.message
    lying = await api.create(PODS, a_pod("q", priorityClassName="high", priority=5))
    assert "the integer value of priority (5) must not be provided" in lying.message


async def test_a_default_class_gives_its_priority_to_pods_without_one(local: Api) -> None:
    await local.made(CLASSES, {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True})
    pod = await local.made(PODS, a_pod())
    assert (pod["spec"]["priority"], pod["spec"]["priorityClassName"]) == (7, "usual")
    second = {"metadata": {"name": "other"}, "value": 8, "globalDefault": True}
    assert (await local.create(CLASSES, second)).status == 403


async def test_a_class_keeps_its_value(local: Api) -> None:
    await local.made(CLASSES, {"metadata": {"name": "high"}, "value": 1000})
    assert (await local.patch(f"{CLASSES}/high", {"value": 5})).status == 422
    assert (await local.patch(f"{CLASSES}/high", {"description": "x"})).status == 200
    huge = {"metadata": {"name": "huge"}, "value": 1_000_000_001}
    assert (await local.create(CLASSES, huge)).status == 422


async def test_a_pod_changes_little_after_it_is_created(local: Api) -> None:
    await local.made(PODS, a_pod())
    refused = await local.patch(f"{PODS}/p", {"spec": {"nodeName": "n1"}})
    assert refused.status == 422
    assert "pod updates may not change fields other than" in refused.message
    more = {"spec": {"activeDeadlineSeconds": 5}}
    assert (await local.patch(f"{PODS}/p", more)).status == 200


async def test_gates_of_a_pod_can_be_taken_away_and_never_be_added(api: Api) -> None:
    first, second = {"name": "example.com/first"}, {"name": "example.com/second"}
    on_node = await api.create(PODS, a_pod(nodeName="n1", schedulingGates=[first]))
    assert on_node.status == 422
    assert "cannot be set until all schedulingGates have been cleared" in on_node.message
    await api.made(PODS, a_pod(schedulingGates=[first, second]))
    left = await api.patch(f"{PODS}/p", {"spec": {"schedulingGates": [second]}})
    assert left.status == 200
    more = await api.patch(f"{PODS}/p", {"spec": {"schedulingGates": [second, first]}})
    assert more.status == 422
    assert (
        "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new "
        "scheduling gate 'example.com/first'"
    ) in more.message
    assert (await api.patch(f"{PODS}/p", {"spec": {"schedulingGates": None}})).status == 200


async def test_a_binding_assigns_a_pod_once(api: Api) -> None:
    made = await api.made(PODS, a_pod())
    await api.patch(f"{PODS}/p/status", {"status": {"nominatedNodeName": "n0"}})
    path = f"{PODS}/p/binding"
    binding = {
        "metadata": {"name": "p", "annotations": {"from": "scheduler"}},
        "target": {"kind": "Node", "name": "n1"},
    }
    wrong = {**binding, "metadata": {"name": "p", "uid": "another"}}
    assert (await api.create(path, wrong)).status == 409
    assert (
        await api.create(path, {**binding, "target": {"kind": "Pod", "name": "x"}})
    ).status == 422
    right = {**binding, "metadata": {**binding["metadata"], "uid": made["metadata"]["uid"]}}
    bound = await api.create(path, right)
    assert (bound.status, bound.body["status"]) == (201, "Success")
    pod = (await api.get(f"{PODS}/p")).body
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["metadata"]["annotations"] == {"from": "scheduler"}
    assert "nominatedNodeName" not in pod["status"]
    scheduled = pod["status"]["conditions"][0]
    assert (scheduled["type"], scheduled["status"]) == ("PodScheduled", "True")
    again = await api.create(path, binding)
    assert (again.status, again.reason) == (409, "Conflict")
    assert again.message == (
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    )


async def test_a_job_counts_its_pods_by_its_own_uid(api: Api) -> None:
    job = await api.made(JOBS, a_job())
    uid = job["metadata"]["uid"]
    spec = job["spec"]
    assert spec["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert spec["template"]["metadata"]["labels"] == {
        "job-name": "j",
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "batch.kubernetes.io/controller-uid": uid,
    }
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 6)
    assert (spec["suspend"], spec["completionMode"]) == (False, "NonIndexed")
    assert job["status"] == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parallelism": -1}, "spec.parallelism"),
        ({"completionMode": "Sorted"}, "spec.completionMode"),
        ({"completionMode": "Indexed", "parallelism": 1}, "spec.completions"),
        ({"manualSelector": True}, "spec.selector"),
    ],
)
async def test_a_job_that_cannot_run_is_invalid(
    local: Api, change: dict[str, Any], field: str
) -> None:
    answer = await local.create(JOBS, a_job(**change))
    assert answer.status == 422
    assert field in answer.causes


async def test_a_job_whose_name_is_no_label_of_its_pods_is_invalid(local: Api) -> None:
    job = a_job(suspend=True)
    job["metadata"]["name"] = "j" * 63
    assert (await local.create(JOBS, job)).status == 201
    job["metadata"]["name"] = "j" * 64
    answer = await local.create(JOBS, job)
    assert answer.status == 422
    assert answer.causes == {
        "spec.template.labels": f'Invalid value: "{"j" * 64}": must be no more than 63 bytes'
    }


async def test_a_jobs_pods_may_not_restart_always(local: Api) -> None:
    job = a_job()
    del job["spec"]["template"]["spec"]["restartPolicy"]
    answer = await local.create(JOBS, job)
    assert answer.causes == {
        "spec.template.spec.restartPolicy": 'Required value: valid values: "OnFailure", "Never"'
    }


async def test_a_suspended_job_may_be_sent_elsewhere_and_a_running_one_not(local: Api) -> None:
    await local.made(JOBS, a_job(suspend=True))
    there = {"spec": {"template": {"spec": {"nodeSelector": {"zone": "a"}}}}}
    assert (await local.patch(f"{JOBS}/j", there)).status == 200
    assert (await local.patch(f"{JOBS}/j", {"spec": {"suspend": False}})).status == 200
    there = {"spec": {"template": {"spec": {"nodeSelector": {"zone": "b"}}}}}
    refused = await local.patch(f"{JOBS}/j", there)
    assert refused.status == 422
    assert "field is immutable" in refused.message
    assert (await local.patch(f"{JOBS}/j", {"spec": {"parallelism": 5}})).status == 200


async def test_a_node_registers_with_its_status(local: Api) -> None:
    node = {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": 4, "memory": "8192Mi"}}}
    made = await local.made("/api/v1/nodes", node)
    assert made["status"]["capacity"] == {"cpu": "4", "memory": "8Gi"}


async def test_an_access_review_allows_what_the_token_allows(local: Api) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await local.made(path, review))["status"]["allowed"] is True


async def test_an_eviction_deletes_the_pod(local: Api) -> None:
    await local.made(PODS, a_pod(nodeName="n1"))
    eviction = {"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 3}}
    assert (await local.create(f"{PODS}/p/eviction", eviction)).status == 201
    pod = (await local.get(f"{PODS}/p")).body
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 3
