"""Services and the kinds that are kept for their readers only."""

import pytest

from tests.apiserver.client import Api, Object

SERVICES = "/api/v1/namespaces/default/services"


def a_service(name: str = "s", **spec: object) -> Object:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_a_service_has_an_address_and_keeps_it(api: Api) -> None:
    made = await api.made(SERVICES, a_service())
    spec = made["spec"]
    assert spec["clusterIP"].startswith("10.96.")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["type"], spec["sessionAffinity"]) == ("ClusterIP", "None")
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    replaced = await api.replace(f"{SERVICES}/s", a_service(sessionAffinity="ClientIP"))
    assert replaced.body["spec"]["clusterIP"] == spec["clusterIP"]
    refused = await api.patch(f"{SERVICES}/s", {"spec": {"clusterIP": "10.96.9.9"}})
    assert "may not change once set" in refused.causes["spec.clusterIPs[0]"]


async def test_no_two_services_share_an_address(local: Api) -> None:
    made = [await local.made(SERVICES, a_service(f"s{number}")) for number in range(300)]
    assert len({service["spec"]["clusterIP"] for service in made}) == 300


async def test_headless_and_external_services_get_no_address(local: Api) -> None:
    headless = await local.made(SERVICES, a_service(clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    external = await local.made(SERVICES, a_service("e", type="ExternalName", externalName="x.y"))
    assert "clusterIP" not in external["spec"]
    refused = await local.create(SERVICES, a_service("n", type="Other"))
    assert "spec.type" in refused.causes


CONTAINERS: Object = {"containers": [{"name": "c", "image": "x:1"}]}
TEMPLATE: Object = {"template": {"spec": {"restartPolicy": "Never", **CONTAINERS}}}


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        (
            "/apis/batch/v1/namespaces/default/cronjobs",
            {"schedule": "* * * * *", "jobTemplate": {"spec": TEMPLATE}},
        ),
        ("/apis/networking.k8s.io/v1/namespaces/default/ingresses", {"rules": [{"host": "a.b"}]}),
        ("/api/v1/namespaces/default/replicationcontrollers", {"selector": {"a": "b"}}),
    ],
)
async def test_a_kind_that_nobody_acts_upon_is_kept_with_a_warning(
    api: Api, path: str, spec: Object
) -> None:
    answer = await api.create(path, {"metadata": {"name": "x"}, "spec": spec})
    assert answer.status == 201, answer.body
    (warning,) = answer.warnings
    assert "nobody here acts upon them" in warning
    assert (await api.get(f"{path}/x")).body["metadata"]["generation"] == 1
