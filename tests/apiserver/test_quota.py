"""ResourceQuota and LimitRange: what a namespace may have, and what its pods get and must keep."""

import asyncio
from typing import Any

import pytest

from tests.apiserver.client import (
    CONFIG_MAPS,
    CRDS,
    MERGE,
    PODS,
    UNITS,
    Api,
    Object,
    a_config_map,
    a_definition,
    a_server,
    a_unit,
)
from tests.apiserver.client import InProcess as _InProcess

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
RANGES = "/api/v1/namespaces/default/limitranges"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


def a_quota(name: str = "q", **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": spec}


def asking(name: str, limits: Object | None = None, **requests: str) -> Object:
    """A pod of one container with these requests."""
    resources = (
        {"requests": requests} if limits is None else {"requests": requests, "limits": limits}
    )
    container = {"name": "c", "image": "x:1", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container]}}


async def used(api: Api, name: str = "q") -> Object:
    """What the quota's status says is used."""
    await api.settle()
    found: Object = (await api.get(f"{QUOTAS}/{name}")).body["status"]["used"]
    return found


async def test_a_quota_counts_what_is_there_already(api: Api) -> None:
    await api.made(PODS, asking("a", cpu="500m", memory="1Gi"))
    hard = {"pods": "3", "requests.cpu": "2", "memory": "4Gi", "limits.cpu": "9", "count/pods": "5"}
    await api.made(QUOTAS, a_quota(hard=hard))
    assert await used(api) == {
        "pods": "1",
        "requests.cpu": "500m",
        "memory": "1Gi",
        "limits.cpu": "0",
        "count/pods": "1",
    }
    status = (await api.get(f"{QUOTAS}/q")).body["status"]
    assert status["hard"] == hard


async def test_what_exceeds_a_quota_is_refused_in_kubernetes_words(api: Api) -> None:
    await api.made(QUOTAS, a_quota(hard={"cpu": "2", "pods": "5", "memory": "3Gi"}))
    await api.made(PODS, asking("a", cpu="1500m", memory="1Gi"))
    refused = await api.create(PODS, asking("b", cpu="1", memory="3Gi"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: cpu=1,memory=3Gi, '
        "used: cpu=1500m,memory=1Gi, limited: cpu=2,memory=3Gi"
    )
    assert await used(api) == {"cpu": "1500m", "pods": "1", "memory": "1Gi"}
    await api.made(PODS, asking("b", cpu="500m", memory="2Gi"))
    assert await used(api) == {"cpu": "2", "pods": "2", "memory": "3Gi"}


async def test_a_pod_must_ask_for_what_a_quota_counts(local: Api) -> None:
    await local.made(QUOTAS, a_quota(hard={"limits.cpu": "2", "memory": "1Gi", "pods": "9"}))
    refused = await local.create(PODS, asking("a", cpu="1"))
    assert refused.message == (
        'pods "a" is forbidden: failed quota: q: must specify limits.cpu for: c; memory for: c'
    )


async def test_a_pod_that_is_over_or_gone_gives_back_what_it_used(api: Api) -> None:
    await api.made(QUOTAS, a_quota(hard={"cpu": "2", "pods": "2", "count/pods": "9"}))
    await api.made(PODS, asking("a", cpu="1"))
    await api.made(PODS, asking("b", cpu="1"))
    await api.patch(f"{PODS}/a/status", {"status": {"phase": "Succeeded"}})
    assert await used(api) == {"cpu": "1", "pods": "1", "count/pods": "2"}
    await api.delete(f"{PODS}/b")
    assert await used(api) == {"cpu": "0", "pods": "0", "count/pods": "1"}
    assert (await api.create(PODS, asking("c", cpu="2"))).status == 201


async def test_requests_at_one_time_never_share_the_same_rest(api: Api) -> None:
    await api.made(QUOTAS, a_quota(hard={"pods": "5"}))
    answers = await asyncio.gather(*(api.create(PODS, asking(f"p{n}")) for n in range(20)))
    assert sorted(answer.status for answer in answers) == [201] * 5 + [403] * 15
    assert await used(api) == {"pods": "5"}


async def test_a_dry_run_is_judged_and_not_counted(local: Api) -> None:
    await local.made(QUOTAS, a_quota(hard={"pods": "1"}))
    assert (await local.create(PODS, asking("a"), dryRun="All")).status == 201
    assert await used(local) == {"pods": "0"}
    await local.made(PODS, asking("a"))
    assert (await local.create(PODS, asking("b"), dryRun="All")).status == 403


async def test_init_containers_sidecars_and_overhead_count_as_they_run(local: Api) -> None:
    def container(name: str, cpu: str, **more: Any) -> Object:
        return {"name": name, "image": "x:1", "resources": {"requests": {"cpu": cpu}}, **more}

    await local.made(QUOTAS, a_quota(hard={"cpu": "100"}))
    spec = {
        "initContainers": [
            container("side", "1", restartPolicy="Always"),
            container("setup", "5"),
        ],
        "containers": [container("a", "2"), container("b", "1")],
        "overhead": {"cpu": "250m"},
    }
    await local.made(PODS, {"metadata": {"name": "p"}, "spec": spec})
    # setup and the sidecar together need 6, more than the 4 of all that runs later.
    assert await used(local) == {"cpu": "6250m"}


@pytest.mark.parametrize(
    ("scopes", "counted"),
    [
        ({"scopes": ["BestEffort"]}, {"plain"}),
        ({"scopes": ["NotBestEffort"]}, {"asking", "ending", "vital"}),
        ({"scopes": ["Terminating"]}, {"ending"}),
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, {"asking", "vital"}),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["vital"]}
                    ]
                }
            },
            {"vital"},
        ),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]
                }
            },
            {"plain", "asking", "ending"},
        ),
    ],
)
async def test_a_quota_with_scopes_counts_the_pods_in_them(
    local: Api, scopes: Object, counted: set[str]
) -> None:
    await local.made(
        "/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "vital"}, "value": 9}
    )
    await local.made(QUOTAS, a_quota(hard={"pods": "9"}, **scopes))
    for name in ("plain", "asking", "ending", "vital"):
        pod = asking(name) if name == "plain" else asking(name, cpu="1")
        if name == "ending":
            pod["spec"]["activeDeadlineSeconds"] = 60
        if name == "vital":
            pod["spec"]["priorityClassName"] = "vital"
        await local.made(PODS, pod)
    assert await used(local) == {"pods": str(len(counted))}


async def test_any_kind_is_counted_by_its_name(local: Api) -> None:
    await local.made(CRDS, a_definition())
    hard = {"count/units.test.kube-queue.io": "1", "configmaps": "1", "count/configmaps": "1"}
    await local.made(QUOTAS, a_quota(hard=hard))
    await local.made(UNITS, a_unit("one"))
    refused = await local.create(UNITS, a_unit("two"))
    assert refused.message == (
        'units.test.kube-queue.io "two" is forbidden: exceeded quota: q, requested: '
        "count/units.test.kube-queue.io=1, used: count/units.test.kube-queue.io=1, limited: "
        "count/units.test.kube-queue.io=1"
    )
    await local.made(CONFIG_MAPS, a_config_map("one"))
    assert (await local.create(CONFIG_MAPS, a_config_map("two"))).status == 403
    await local.delete(f"{CONFIG_MAPS}/one")
    assert (await local.create(CONFIG_MAPS, a_config_map("two"))).status == 201


async def test_claims_count_by_their_size_and_class(local: Api) -> None:
    gold = "gold.storageclass.storage.k8s.io/requests.storage"
    await local.made(QUOTAS, a_quota(hard={"requests.storage": "10Gi", gold: "4Gi"}))

    def claim(name: str, size: str, storage_class: str) -> Object:
        resources = {"requests": {"storage": size}}
        spec = {"storageClassName": storage_class, "resources": resources}
        return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], **spec}}

    await local.made(CLAIMS, claim("a", "3Gi", "gold"))
    await local.made(CLAIMS, claim("b", "3Gi", "tin"))
    assert await used(local) == {"requests.storage": "6Gi", gold: "3Gi"}
    grown = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    refused = await local.patch(f"{CLAIMS}/a", grown)
    assert (refused.status, f"requested: {gold}=2Gi" in refused.message) == (403, True)


async def test_a_changed_quota_is_counted_anew_and_one_that_is_gone_binds_nobody(
    local: Api,
) -> None:
    await local.made(PODS, asking("a", cpu="1"))
    await local.made(QUOTAS, a_quota(hard={"pods": "1"}))
    await local.patch(f"{QUOTAS}/q", {"spec": {"hard": {"cpu": "3"}}}, MERGE)
    assert await used(local) == {"pods": "1", "cpu": "1"}
    assert (await local.create(PODS, asking("b", cpu="1"))).status == 403
    await local.delete(f"{QUOTAS}/q")
    assert (await local.create(PODS, asking("b", cpu="1"))).status == 201


async def test_a_status_that_somebody_else_wrote_is_set_right(local: Api) -> None:
    await local.made(QUOTAS, a_quota(hard={"pods": "1"}))
    await local.patch(f"{QUOTAS}/q/status", {"status": {"used": {"pods": "7"}}})
    assert await used(local) == {"pods": "0"}


async def test_a_namespace_does_not_feel_the_quota_of_another() -> None:
    api = Api(_InProcess(server := a_server()), server, None)  # type: ignore[arg-type]
    await api.made("/api/v1/namespaces", {"metadata": {"name": "other"}})
    await api.made("/api/v1/namespaces/other/resourcequotas", a_quota(hard={"pods": "0"}))
    assert (await api.create(PODS, asking("a"))).status == 201
    refused = await api.create("/api/v1/namespaces/other/pods", asking("a"))
    assert refused.status == 403
    await server.close()


@pytest.mark.parametrize("name", ["pod", "gpu", "count"])
async def test_a_quota_of_something_nobody_counts_is_refused(local: Api, name: str) -> None:
    refused = await local.create(QUOTAS, a_quota(hard={name: "1"}))
    assert refused.status == 422
    assert f"spec.hard[{name}]" in refused.causes


def a_range(**entry: Any) -> Object:
    return {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Container", **entry}]}}


async def test_containers_get_the_defaults_of_a_limit_range(api: Api) -> None:
    made = await api.made(RANGES, a_range(default={"cpu": "2"}, max={"memory": "1Gi"}))
    (entry,) = made["spec"]["limits"]
    assert entry["default"] == {"cpu": "2", "memory": "1Gi"}
    assert entry["defaultRequest"] == {"cpu": "2", "memory": "1Gi"}
    pod = await api.made(PODS, asking("a", cpu="1"))
    assert pod["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }
    assert pod["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: memory request for container c; "
        "cpu, memory limit for container c"
    }
    assert pod["status"]["qosClass"] == "Burstable"


@pytest.mark.parametrize(
    ("entry", "pod", "why"),
    [
        (
            {"max": {"cpu": "1"}},
            asking("a", {"cpu": "2"}, cpu="1"),
            "maximum cpu usage per Container is 1, but limit is 2",
        ),
        (
            {"min": {"cpu": "500m"}},
            asking("a", cpu="100m"),
            "minimum cpu usage per Container is 500m, but request is 100m",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            asking("a", {"cpu": "3"}, cpu="1"),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            asking("a"),
            "cpu max limit to request ratio per Container is 2, but no request is specified or "
            "request is 0",
        ),
        (
            {"type": "Pod", "max": {"memory": "1Gi"}},
            asking("a", memory="1Gi"),
            "maximum memory usage per Pod is 1Gi.  No limit is specified",
        ),
        (
            {"type": "Pod", "min": {"cpu": "1"}, "max": {"memory": "1Gi"}},
            asking("a", {"memory": "2Gi"}),
            "[minimum cpu usage per Pod is 1.  No request is specified, maximum memory usage per "
            "Pod is 1Gi, but limit is 2Gi]",
        ),
    ],
)
async def test_the_bounds_of_a_limit_range_are_kept(
    local: Api, entry: Object, pod: Object, why: str
) -> None:
    await local.made(RANGES, a_range(**entry))
    refused = await local.create(PODS, pod)
    assert (refused.status, refused.message) == (403, f'pods "a" is forbidden: {why}')


async def test_claims_keep_their_bounds(local: Api) -> None:
    bounds = {"min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    await local.made(RANGES, a_range(type="PersistentVolumeClaim", **bounds))
    spec: Object = {"accessModes": ["ReadWriteOnce"]}
    for size, status in (("500Mi", 403), ("3Gi", 403), ("2Gi", 201)):
        spec["resources"] = {"requests": {"storage": size}}
        answer = await local.create(CLAIMS, {"metadata": {"name": "c"}, "spec": spec})
        assert answer.status == status
