"""kubernetes-asyncio: its typed clients, its watch, and its dynamic client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.dynamic import DynamicClient

from tests.clients.conftest import NAMESPACE

PATIENCE = 20.0
GROUP, VERSION, PLURAL = "clients.example.com", "v1", "gadgets"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@asynccontextmanager
async def _connected(kubeconfig: Path) -> AsyncIterator[client.ApiClient]:
    settings = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=settings)
    async with client.ApiClient(settings) as connection:
        yield connection


@pytest.fixture
async def connection(kubeconfig: Path) -> AsyncIterator[client.ApiClient]:
    """A client of a fresh server."""
    async with _connected(kubeconfig) as found, asyncio.timeout(PATIENCE):
        yield found


def a_map(name: str, **data: str) -> Any:
    """A ConfigMap."""
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def a_job() -> Any:
    """A suspended Job of one busybox."""
    main = client.V1Container(name="main", image="busybox")
    spec = client.V1PodSpec(restart_policy="Never", containers=[main])
    template = client.V1PodTemplateSpec(spec=spec)
    return client.V1Job(
        metadata=client.V1ObjectMeta(generate_name="job-"),
        spec=client.V1JobSpec(suspend=True, template=template),
    )


async def _define(connection: client.ApiClient) -> None:
    names = client.V1CustomResourceDefinitionNames(plural=PLURAL, singular="gadget", kind="Gadget")
    schema = client.V1CustomResourceValidation(open_apiv3_schema=OPEN)
    version = client.V1CustomResourceDefinitionVersion(
        name=VERSION, served=True, storage=True, schema=schema, subresources={"status": {}}
    )
    spec = client.V1CustomResourceDefinitionSpec(
        group=GROUP, scope="Namespaced", names=names, versions=[version]
    )
    named = client.V1ObjectMeta(name=f"{PLURAL}.{GROUP}")
    definition = client.V1CustomResourceDefinition(metadata=named, spec=spec)
    await client.ApiextensionsV1Api(connection).create_custom_resource_definition(definition)


def a_gadget(name: str, size: int) -> dict[str, Any]:
    """A Gadget."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Gadget",
        "metadata": {"name": name},
        "spec": {"size": size},
    }


async def test_typed_objects_are_created_read_changed_and_deleted(
    connection: client.ApiClient,
) -> None:
    core = client.CoreV1Api(connection)
    made = await core.create_namespaced_config_map(NAMESPACE, a_map("a", k="v"))
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo is not None
    made.data["k"] = "w"
    changed = await core.replace_namespaced_config_map("a", NAMESPACE, made)
    assert changed.data == {"k": "w"}
    assert changed.metadata.resource_version != made.metadata.resource_version
    patched = await core.patch_namespaced_config_map(
        "a", NAMESPACE, {"data": {"k": None, "x": "y"}}, _content_type=STRATEGIC
    )
    assert patched.data == {"x": "y"}
    listed = await core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=a")
    assert [one.metadata.name for one in listed.items] == ["a"]
    done = await core.delete_namespaced_config_map("a", NAMESPACE)
    assert (done.status, done.details.uid) == ("Success", made.metadata.uid)


async def test_refusals_are_told_apart(connection: client.ApiClient) -> None:
    core = client.CoreV1Api(connection)
    old = await core.create_namespaced_config_map(NAMESPACE, a_map("a"))
    await core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"x": "y"}})
    for why, call in (
        ("AlreadyExists", core.create_namespaced_config_map(NAMESPACE, a_map("a"))),
        ("Conflict", core.replace_namespaced_config_map("a", NAMESPACE, old)),
        ("NotFound", core.read_namespaced_config_map("absent", NAMESPACE)),
        ("Invalid", core.create_namespaced_config_map(NAMESPACE, a_map("No_Name"))),
        ("BadRequest", core.list_namespaced_config_map(NAMESPACE, label_selector="a b")),
    ):
        with pytest.raises(ApiException) as refused:
            await call
        assert f'"reason":"{why}"' in str(refused.value.body)


async def test_a_job_is_completed_and_its_status_written_apart(
    connection: client.ApiClient,
) -> None:
    batch = client.BatchV1Api(connection)
    made = await batch.create_namespaced_job(NAMESPACE, a_job())
    name = made.metadata.name
    assert name.startswith("job-")
    assert (made.spec.parallelism, made.spec.backoff_limit, made.metadata.generation) == (1, 6, 1)
    resumed = await batch.patch_namespaced_job(name, NAMESPACE, {"spec": {"suspend": False}})
    assert (resumed.spec.suspend, resumed.metadata.generation) == (False, 2)
    status = {"status": {"active": 1, "startTime": "2026-01-01T00:00:00Z"}}
    seen = await batch.patch_namespaced_job_status(name, NAMESPACE, status)
    assert seen.status.active == 1
    assert seen.status.start_time.year == 2026
    await batch.delete_namespaced_job(name, NAMESPACE, propagation_policy="Background")
    assert not (await batch.list_namespaced_job(NAMESPACE)).items


async def test_pages_lead_through_a_list(connection: client.ApiClient) -> None:
    core = client.CoreV1Api(connection)
    for name in "abc":
        await core.create_namespaced_config_map(NAMESPACE, a_map(name))
    first = await core.list_namespaced_config_map(NAMESPACE, limit=2)
    assert first.metadata.remaining_item_count == 1
    last = await core.list_namespaced_config_map(
        NAMESPACE, limit=2, _continue=first.metadata._continue
    )
    assert [one.metadata.name for one in [*first.items, *last.items]] == ["a", "b", "c"]
    assert not last.metadata._continue


async def test_a_watch_shows_what_was_and_what_becomes(connection: client.ApiClient) -> None:
    core = client.CoreV1Api(connection)
    await core.create_namespaced_config_map(NAMESPACE, a_map("a"))
    seen: list[tuple[str, str]] = []
    async with watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE) as events:
        async for event in events:
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 1:
                await core.create_namespaced_config_map(NAMESPACE, a_map("b"))
                await core.delete_namespaced_config_map("a", NAMESPACE)
            if len(seen) == 3:
                break
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


async def test_custom_objects_have_a_status_of_their_own(connection: client.ApiClient) -> None:
    await _define(connection)
    custom = client.CustomObjectsApi(connection)
    where = (GROUP, VERSION, NAMESPACE, PLURAL)
    await custom.create_namespaced_custom_object(*where, a_gadget("one", 1))
    change = {"status": {"phase": "Ready"}, "spec": {"size": 9}}
    await custom.patch_namespaced_custom_object_status(*where, "one", change, _content_type=MERGE)
    (found,) = (await custom.list_namespaced_custom_object(*where))["items"]
    assert (found["spec"], found["status"]) == ({"size": 1}, {"phase": "Ready"})
    await custom.delete_namespaced_custom_object(*where, "one")
    with pytest.raises(ApiException) as missing:
        await custom.get_namespaced_custom_object(*where, "one")
    assert missing.value.status == 404


async def test_the_dynamic_client_finds_kinds_by_discovery(connection: client.ApiClient) -> None:
    await _define(connection)
    dynamic = await DynamicClient(connection)
    gadgets = await dynamic.resources.get(api_version=f"{GROUP}/{VERSION}", kind="Gadget")
    await gadgets.create(body=a_gadget("one", 1), namespace=NAMESPACE)
    await gadgets.patch(
        body={"spec": {"size": 2}},
        name="one",
        namespace=NAMESPACE,
        content_type=MERGE,
    )
    found = await gadgets.get(name="one", namespace=NAMESPACE)
    assert found.spec.size == 2
    applied = await dynamic.server_side_apply(
        gadgets, body=a_gadget("two", 3), namespace=NAMESPACE, field_manager="clients"
    )
    assert applied.metadata.managedFields[0].manager == "clients"
    names = [one.metadata.name for one in (await gadgets.get(namespace=NAMESPACE)).items]
    assert names == ["one", "two"]
