"""Which jobs of either kind are queued, and which are somebody else's."""

from __future__ import annotations

from kube_queue.api.types import (
    NAMESPACES,
)
from kube_queue.jobframework.extension import Hold
from tests.controller.jobs.turns import (
    JOB,
    PYTORCHJOB,
    It,
    Kind,
    lives,
    on_both,
    owned,
)


@on_both
def test_what_belongs_to_somebody_is_theirs_unless_the_kind_is_named(kind: Kind) -> None:
    boss = owned("Boss", "example.com/v1")

    async def left_alone(it: It) -> None:
        await it.create(kind.manifest(**boss))
        assert await it.stays_without_a_unit()

    async def queued(it: It) -> None:
        await it.create(kind.manifest(**boss))
        await it.waits()

    lives(kind, left_alone)
    lives(kind, left_alone, owned_by="MPIJob, Boss.example.org")
    lives(kind, queued, owned_by="MPIJob, boss")
    lives(kind, queued, owned_by="Boss.example.com")


@on_both
def test_what_belongs_to_a_cron_job_is_queued(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create(kind.manifest(**owned("CronJob", "batch/v1")))
        await it.waits()

    lives(kind, story)


@on_both
def test_pods_that_an_owners_unit_counts_are_not_counted_again(kind: Kind) -> None:
    other = JOB if kind is PYTORCHJOB else PYTORCHJOB

    async def story(it: It) -> None:
        above = It(it.cluster, other)
        boss = await above.create(other.manifest("boss"))
        await above.waits("boss")
        uid = boss["metadata"]["uid"]
        belongs = owned(other.resource.kind, other.resource.api_version, uid)
        child = await it.create(kind.manifest(**belongs))
        # And what belongs to what belongs to it.
        uid = child["metadata"]["uid"]
        belongs = owned(kind.resource.kind, kind.resource.api_version, uid, "it")
        await above.create(other.manifest("grandchild", **belongs))
        await it.cluster.settle(5)
        assert [unit.name for unit in await it.cluster.units()] == [other.unit("boss")]

    lives(kind, story, owned_by="Job,PyTorchJob")


@on_both
def test_what_somebody_else_manages_is_theirs(kind: Kind) -> None:
    async def story(it: It) -> None:
        manifest = kind.manifest()
        for name, value in kind.managed.items():
            old = manifest["spec"].get(name)
            manifest["spec"][name] = {**old, **value} if isinstance(old, dict) else value
        await it.create(manifest)
        assert await it.stays_without_a_unit()

    lives(kind, story)


@on_both
def test_what_carries_kueues_label_is_kueues_from_the_moment_it_does(kind: Kind) -> None:
    label = {"kueue.x-k8s.io/queue-name": "theirs"}

    async def story(it: It) -> None:
        await it.create(kind.manifest(labels=label))
        await it.create(kind.manifest("late"))
        await it.waits("late")
        await it.change({"metadata": {"labels": label}}, "late")
        await it.until_gone("late")
        assert await it.stays_without_a_unit()
        job = await it.cluster.client.get(kind.resource, "default", "late")
        assert kind.extension.state(job).hold is Hold.SPEC

    lives(kind, story)


@on_both
def test_only_jobs_that_the_job_selector_selects_are_queued(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.create(kind.manifest("ours", labels={"team": "a"}))
        await it.create(kind.manifest("odd", labels={"team": "a", "skip": ""}))
        await it.waits("ours")
        await it.cluster.settle()
        assert [unit.name for unit in await it.cluster.units()] == [kind.unit("ours")]
        await it.change({"metadata": {"labels": {"team": "b"}}})
        await it.waits()
        await it.change({"metadata": {"labels": {"team": None}}})
        await it.until_gone()

    lives(kind, story, jobs="team in (a, b),!skip")


@on_both
def test_only_jobs_in_namespaces_that_the_selector_selects_are_queued(kind: Kind) -> None:
    async def story(it: It) -> None:
        cluster = it.cluster
        space = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "other", "labels": {"closed": ""}},
        }
        await cluster.client.create(NAMESPACES, space)
        there = kind.manifest()
        there["metadata"]["namespace"] = "other"
        await it.create(there)
        await it.create()
        await it.waits()
        await cluster.settle()
        assert [unit.namespace for unit in await cluster.units()] == ["default"]

        async def namespaces() -> set[str]:
            return {unit.namespace for unit in await cluster.units()}

        async def both() -> bool:
            return await namespaces() == {"default", "other"}

        async def one() -> bool:
            return await namespaces() == {"default"}

        for labels, then in (({"closed": None}, both), ({"closed": ""}, one)):
            patch = {"metadata": {"labels": labels}}
            await cluster.client.patch(NAMESPACES, "", "other", patch)
            await cluster.until(then, f"the namespace is labelled {labels}")

    lives(kind, story, namespaces="kubernetes.io/metadata.name in (default,other),!closed")
