"""Kinds come and go while the job side runs, and each is watched just as long as it is served."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from kube_queue.api.errors import NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import CRDS, JOBS, QUEUE_UNITS, TFJOBS, ResourceType
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import serve
from kube_queue.app.install import install
from kube_queue.controller.jobs import JobSide
from kube_queue.jobframework.registry import load_extensions
from kube_queue.kube.client import Client
from kube_queue.kube.credentials import Credentials, FixedAuthorization
from kube_queue.kube.transport import HttpTransport, Query
from kube_queue.kube.writes import WriteScheduler
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.rayjob import RAYJOBS, RAYJOBS_V1ALPHA1
from kube_queue_extensions.tfjob import TFJobExtension
from tests.controller.jobs.cluster import Cluster, Wire, play
from tests.controller.jobs.test_versions import crd
from tests.extensions.manifests import a_rayjob
from tests.jobframework.builders import a_job, a_tfjob

TFJOBS_DEFINED = "tfjobs.kubeflow.org"


@dataclass
class Reads:
    """What was read, as path and Accept."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def of(self, path: str) -> int:
        return sum(each == path for each, _ in self.asked)


class Noting(Wire):
    """A way to the server that notes what is read."""

    def __init__(self, server: ApiServer, reads: Reads) -> None:
        super().__init__(server)
        self.reads = reads

    async def request(self, method: str, path: str, *, query: Query = (), **options: Any) -> Any:
        if method == "GET":
            self.reads.asked.append((path, options.get("accept", "")))
        return await super().request(method, path, query=query, **options)

    def stream(self, path: str, *, query: Query, read_timeout: float, **options: Any) -> Any:
        self.reads.asked.append((path, options.get("accept", "")))
        return super().stream(path, query=query, read_timeout=read_timeout, **options)


@dataclass
class Half:
    """A running job side and a user's client of the same server."""

    client: Client

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        for _ in range(600):
            if await holds():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"it never came to this: {what}")

    async def units(self) -> set[str]:
        return {each["metadata"]["name"] for each in await self.client.list(QUEUE_UNITS)}

    async def until_units(self, *names: str) -> None:
        async def there() -> bool:
            return await self.units() == set(names)

        await self.until(there, f"the units are {names}")

    async def create(self, resource: ResourceType, manifest: dict[str, Any]) -> None:
        for name in ("uid", "resourceVersion", "creationTimestamp"):
            manifest["metadata"].pop(name, None)
        for holder in _holders(manifest["spec"]):
            holder["template"]["spec"]["restartPolicy"] = "Never"
            for container in holder["template"]["spec"]["containers"]:
                container["image"] = "busybox"
        await self.client.create(resource, manifest, "default")

    async def undefine(self, name: str) -> dict[str, Any]:
        definition = await self.client.get(CRDS, "", name)
        await self.client.delete(CRDS, "", name)

        async def gone() -> bool:
            try:
                await self.client.get(CRDS, "", name)
            except NotFound:
                return True
            return False

        await self.until(gone, f"{name} is gone")
        return {
            "apiVersion": CRDS.api_version,
            "kind": CRDS.kind,
            "metadata": {"name": name},
            "spec": definition["spec"],
        }


def _holders(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return list(spec["tfReplicaSpecs"].values()) if "tfReplicaSpecs" in spec else [spec]


async def comes_and_goes(half: Half) -> None:
    definition = await half.undefine(TFJOBS_DEFINED)
    await half.create(JOBS, a_job("first"))
    await half.until_units("first-job-qu")
    await half.client.create(CRDS, definition)

    async def defined() -> bool:
        try:
            await half.client.list(TFJOBS)
        except NotFound:
            return False
        return True

    await half.until(defined, "the kind is served")
    await half.create(TFJOBS, a_tfjob("late"))
    await half.until_units("first-job-qu", "late-tf-qu")
    await half.undefine(TFJOBS_DEFINED)
    await half.until_units("first-job-qu")
    await half.create(JOBS, a_job("second"))
    await half.until_units("first-job-qu", "second-job-qu")
    await half.client.create(CRDS, definition)
    await half.until(defined, "the kind is served again")
    await half.create(TFJOBS, a_tfjob("again"))
    await half.until_units("first-job-qu", "second-job-qu", "again-tf-qu")


def test_a_kind_is_queued_whenever_it_is_served_and_others_all_the_while_over_http() -> None:
    async def main() -> None:
        server = ApiServer(clock=lambda: 1_800_000_000.0, rng=random.Random(1))
        running = await serve(server, token="secret")
        known = Credentials(running.url, authorization=FixedAuthorization("Bearer secret"))
        client = Client(HttpTransport(known))
        await install(client, operators=True)
        writes = WriteScheduler(client, rng=random.Random(2))
        side = JobSide(
            client,
            (TFJobExtension(), BatchJob()),
            writes,
            clock=lambda: 1_800_000_000.0,
            rng=random.Random(3),
        )
        tasks = [asyncio.ensure_future(work) for work in (writes.run(), side.run())]
        try:
            await comes_and_goes(Half(client))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()
            await running.close()
            await server.close()

    asyncio.run(main())


def test_a_kind_is_queued_whenever_it_is_served_and_others_all_the_while_in_process() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await comes_and_goes(Half(cluster.client))

    play(story, simulated=False)


def test_nothing_is_asked_of_a_kind_that_went_and_the_others_watches_go_on() -> None:
    reads = Reads()
    plural, jobs = "/apis/kubeflow.org/v1/tfjobs", "/apis/batch/v1/jobs"

    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(wire=Noting(cluster.server, reads))
        await cluster.settle()
        before = reads.of(jobs)
        await Half(cluster.client).undefine(TFJOBS_DEFINED)
        await cluster.settle(5)
        asked = reads.of(plural)
        await cluster.settle(200)
        assert reads.of(plural) == asked
        assert reads.of(jobs) == before, "the watch of Jobs was not begun anew"
        assert reads.of("/apis/kubeflow.org/v1") <= 15

    play(story, simulated=False)


def test_of_definitions_only_the_metadata_is_read() -> None:
    reads = Reads()

    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(wire=Noting(cluster.server, reads))
        await cluster.settle()

    play(story, simulated=False)
    accepts = [accept for path, accept in reads.asked if path == CRDS.path()]
    assert len(accepts) == 2, "one list and one watch"
    assert all(accept.partition(",")[0].endswith("g=meta.k8s.io;v=v1") for accept in accepts)


def test_units_of_a_kind_that_went_while_nobody_watched_go_after_a_restart() -> None:
    async def story(cluster: Cluster) -> None:
        process = cluster.start_jobs()
        await cluster.tfjob("job1")
        await cluster.until_phase("job1-tf-qu", Phase.ENQUEUED)
        await cluster.admit("job1-tf-qu")
        cluster.wire.cut.set()
        await cluster.kill(process)
        await Half(cluster.client).undefine(TFJOBS_DEFINED)
        cluster.start_jobs()
        await Half(cluster.client).until_units()

    play(story, simulated=False)


def test_a_kind_whose_watched_version_is_served_no_more_is_watched_in_another() -> None:
    (extension,) = load_extensions("rayjob,RayJobV1alpha1")

    async def story(cluster: Cluster) -> None:
        half = Half(cluster.client)
        await half.undefine("rayjobs.ray.io")
        old = crd("rayjobs", "v1alpha1")
        await cluster.client.create(CRDS, old)
        cluster.start_jobs(extension)
        await cluster.settle()
        await cluster.client.create(RAYJOBS_V1ALPHA1, named(a_rayjob(version="v1alpha1"), "one"))
        await half.until_units("one-ray-qu")
        (first,) = old["spec"]["versions"]
        versions = [{**first, "served": False}, {**first, "name": "v1", "storage": False}]
        await cluster.client.patch(CRDS, "", "rayjobs.ray.io", {"spec": {"versions": versions}})
        await cluster.settle(5)
        await cluster.client.create(RAYJOBS, named(a_rayjob(), "two"))
        await half.until_units("one-ray-qu", "two-ray-qu")
        job = (await cluster.unit("two-ray-qu")).job
        assert job is not None and job.api_version == RAYJOBS.api_version

    play(story, simulated=False)


def named(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return {**manifest, "metadata": {"name": name, "namespace": "default"}}


@pytest.mark.parametrize("names", ["rayjob,rayjobv1alpha1", "rayjobv1alpha1,rayjob"])
def test_the_two_rayjob_names_watch_the_preferred_of_the_served_versions_once(names: str) -> None:
    reads = Reads()

    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*load_extensions(names), wire=Noting(cluster.server, reads))
        await cluster.settle(5)
        await cluster.client.create(RAYJOBS_V1ALPHA1, named(a_rayjob(version="v1alpha1"), "old"))
        await cluster.client.create(RAYJOBS, named(a_rayjob(), "new"))
        await Half(cluster.client).until_units("old-ray-qu", "new-ray-qu")

    play(story, simulated=False)
    assert reads.of(RAYJOBS.path()) == 2, "one list and one watch"
    assert reads.of(RAYJOBS_V1ALPHA1.path()) == 0


def test_where_definitions_may_not_be_read_kinds_are_found_all_the_same() -> None:
    class Closed(Wire):
        async def request(self, method: str, path: str, **options: Any) -> Any:
            if path == CRDS.path():
                path = "/apis/nowhere.example.com/v1/things"
            return await super().request(method, path, **options)

    async def story(cluster: Cluster) -> None:
        half = Half(cluster.client)
        definition = await half.undefine(TFJOBS_DEFINED)
        cluster.start_jobs(wire=Closed(cluster.server))
        await cluster.settle(20)
        await cluster.client.create(CRDS, definition)
        await cluster.settle(1)
        await half.create(TFJOBS, a_tfjob("late"))
        await half.until_units("late-tf-qu")

    play(story, simulated=False)
