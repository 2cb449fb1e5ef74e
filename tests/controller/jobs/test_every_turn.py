"""What users and operators do to jobs, done to a Kubeflow kind and to Job alike."""

from __future__ import annotations

from contextlib import suppress

import pytest

from kube_queue.api.errors import NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.api.types import (
    EVENTS,
    PODS,
)
from tests.controller.jobs.turns import (
    PYTORCHJOB,
    It,
    Kind,
    a_pod,
    lives,
    on_both,
    owned,
)


@on_both
def test_released_by_hand_it_is_charged_and_its_user_is_told(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.waits()
        await it.change(kind.free)
        unit = await it.cluster.until_phase(kind.unit(), Phase.DEQUEUED)
        assert (unit.reason, unit.held["cpu"]) == ("ReleasedByHand", 3000)
        await it.cluster.settle()
        said = {event["reason"] for event in await it.cluster.client.list(EVENTS)}
        assert "ReleasedByHand" in said

    lives(kind, story)


@on_both
def test_suspended_again_by_hand_it_gives_its_quota_back_and_can_be_admitted_again(
    kind: Kind,
) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.runs()
        await it.change(kind.hold)
        await it.says(kind.stopped)
        unit = await it.cluster.until_phase(kind.unit(), Phase.ENQUEUED)
        assert unit.reason == "SuspendedByUser" and not unit.held
        await it.runs()

    lives(kind, story)


@on_both
@pytest.mark.parametrize("phase", Phase)
def test_deleted_in_any_phase_it_leaves_nothing(kind: Kind, phase: Phase) -> None:
    async def story(it: It) -> None:
        cluster = it.cluster
        await it.create()
        await it.waits()
        if phase in (Phase.RUNNING, Phase.SUCCEED):
            await it.runs()
        if phase is Phase.SUCCEED:
            await it.says(kind.all_done)
            await cluster.until_phase(kind.unit(), phase)
        elif phase not in (Phase.ENQUEUED, Phase.RUNNING):
            await cluster.unit_status(await cluster.unit(kind.unit()), phase=phase.value)
        await cluster.client.delete(kind.resource, "default", "it")
        await it.until_gone()
        assert await it.stays_without_a_unit()

    lives(kind, story)


@on_both
def test_created_again_under_its_name_it_waits_anew_and_holds_nothing(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.runs()
        before = await it.cluster.unit(kind.unit())
        await it.cluster.client.delete(kind.resource, "default", "it")
        with suppress(NotFound):
            # A Job lets its pods go first.
            while await it.cluster.client.get(kind.resource, "default", "it"):
                await it.cluster.settle(0.01)
        await it.create()
        await it.waits()
        after = await it.cluster.unit(kind.unit())
        assert after.uid != before.uid and after.job != before.job and not after.held
        await it.runs()

    lives(kind, story)


@on_both
def test_an_operator_that_ignores_the_mark_has_its_job_charged_with_a_warning(kind: Kind) -> None:
    async def story(it: It) -> None:
        cluster = it.cluster
        job = await it.create()
        await it.waits()
        uid = job["metadata"]["uid"]
        belongs = owned(kind.resource.kind, kind.resource.api_version, uid, "it")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "it-0", "namespace": "default", **belongs},
            "spec": a_pod()["spec"],
        }
        await cluster.client.create(PODS, pod)
        unit = await cluster.until_phase(kind.unit(), Phase.DEQUEUED)
        assert (unit.reason, unit.held["cpu"]) == ("SuspendIgnored", 3000)
        await cluster.settle()
        said = {(event["reason"], event["type"]) for event in await cluster.client.list(EVENTS)}
        assert ("SuspendIgnored", "Warning") in said

    lives(kind, story)


def test_the_annotation_put_back_by_a_re_applied_manifest_is_reset_and_nothing_stops() -> None:
    kind = PYTORCHJOB
    held = {"metadata": {"annotations": {SUSPEND_ANNOTATION: "true"}}}

    async def story(it: It) -> None:
        manifest = kind.manifest(**held["metadata"])
        del manifest["spec"]["runPolicy"]
        await it.create(manifest)
        await it.runs()
        before = await it.cluster.unit(kind.unit())
        await it.change(held)
        await it.released()
        await it.cluster.settle(5)
        after = await it.cluster.unit(kind.unit())
        assert (after.phase, after.held, after.attempts) == (
            Phase.RUNNING,
            before.held,
            before.attempts,
        )

    lives(kind, story)
