"""The Deployment controller of kube-controller-manager: it carries out what the plan decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from kube_queue.api.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
)
from kube_queue.api.types import DEPLOYMENTS, REPLICA_SETS
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator import deployment_status as statuses
from kube_queue.simulator.deployment import REVISION, PodSet, current_set, pod_set, rollout
from kube_queue.simulator.deployment_plan import DeploymentOutcome, SetChange, claim_sets, plan
from kube_queue.simulator.events import Said, tell
from kube_queue.simulator.fields import mapping, merge_difference, number
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import JobDocument, PodView, job_document, orphans_of

Key = tuple[str, str]

_COMPONENT: Final = "deployment-controller"
_WORKERS: Final = 8


class DeploymentController:
    """Plays the controller of apps/v1 Deployments."""

    def __init__(
        self,
        client: Client,
        deployments: Table[JobDocument],
        sets: Table[JobDocument],
        pods: Table[PodView],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._deployments = deployments
        self._sets = sets
        self._pods = pods
        self._clock = clock
        self._queue: WorkQueue[Key] = WorkQueue()
        deployments.subscribe(self._deployment_changed)
        sets.subscribe(self._set_changed)
        pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Deployments are worked on, until cancelled."""
        await self._pods.synced.wait()
        await self._sets.synced.wait()
        await self._deployments.synced.wait()
        await run_workers(self._queue, self._reconcile, _WORKERS)

    def _deployment_changed(self, old: JobDocument | None, new: JobDocument | None) -> None:
        del old
        if new is not None:
            self._queue.add((new.namespace, new.name))

    def _set_changed(self, old: JobDocument | None, new: JobDocument | None) -> None:
        """The Deployment that has it, or had it, looks again; an orphan is shown to all around."""
        for each in (old, new):
            owner = self._deployments.with_uid(each.owner) if each and each.owner else None
            if owner is not None:
                self._queue.add((owner.namespace, owner.name))
        if new is not None and not new.owner:
            for deployment in self._deployments.values():
                if deployment.namespace == new.namespace:
                    self._queue.add((deployment.namespace, deployment.name))

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        """The last pod of an old set is what a Deployment that recreates waits for."""
        if old is None or not old.owner or (new is not None and not new.terminal):
            return
        owning = self._sets.with_uid(old.owner)
        owner = self._deployments.with_uid(owning.owner) if owning and owning.owner else None
        if owner is not None:
            self._queue.add((owner.namespace, owner.name))

    async def _reconcile(self, key: Key) -> float | None:
        document = self._deployments.get(*key)
        if document is None:
            return None
        manifest = document.manifest()
        asked = rollout(manifest)
        if asked.selector is None:
            return None
        owned, orphans = (
            [pod_set(each.manifest(), each.owner) for each in self._sets.of_group(group)]
            for group in (document.uid, orphans_of(document.namespace))
        )
        claimed = claim_sets(asked, owned, orphans)
        for each in claimed.release:
            await self._own(each, {"$patch": "delete", "uid": document.uid})
        for each in claimed.adopt:
            await self._own(each, _reference(document))
        if claimed.release or claimed.adopt:
            # The sets' news brings the Deployment back.
            return None
        with_pods = {
            each.uid
            for each in claimed.owned
            if any(not pod.terminal for pod in self._pods.of_group(each.uid))
        }
        outcome = plan(manifest, claimed.owned, with_pods, document.namespace, self._clock())
        if outcome.create is not None and not await self._create(document, manifest, outcome):
            return None
        for change in outcome.change:
            await self._change(manifest, change)
        for each in outcome.delete:
            await self._delete(each)
        await self._write(document, manifest, outcome)
        return None if math.isinf(outcome.again) else max(outcome.again, 0.0)

    async def _create(
        self, document: JobDocument, manifest: Mapping[str, Any], outcome: DeploymentOutcome
    ) -> bool:
        """The set of the template is there; False when its name is another set's.

        Then one collision more is counted, by which the next try has another name.
        Raises ApiError when the server refuses the set; the status says why.
        """
        made = outcome.create or {}
        name, replicas = made["metadata"]["name"], made["spec"]["replicas"]
        wanted = {"apiVersion": REPLICA_SETS.api_version, "kind": REPLICA_SETS.kind, **made}
        try:
            answer = await self._client.create(REPLICA_SETS, wanted)
        except AlreadyExists:
            held = await self._client.get(REPLICA_SETS, document.namespace, name)
            view = job_document(held)
            asked = rollout(manifest)
            if view.owner == document.uid and current_set(asked, [pod_set(held, view.owner)]):
                self._sets.wrote(view)
                return True
            status = dict(mapping(manifest.get("status")))
            status["collisionCount"] = number(status.get("collisionCount")) + 1
            await self._write(document, manifest, DeploymentOutcome(status))
            return False
        except (Invalid, BadRequest, Forbidden) as refused:
            await self._say_refused(document, manifest, name, refused)
            raise
        self._sets.wrote(job_document(answer))
        if replicas:
            await self._say_scaled(manifest, name, 0, replicas)
        return True

    async def _change(self, manifest: Mapping[str, Any], change: SetChange) -> None:
        """Raises Conflict when somebody else changed the set: it is met again as it is then."""
        target = change.target
        spec: dict[str, Any] = {}
        if change.replicas != target.replicas:
            spec["replicas"] = change.replicas
        if change.min_ready_seconds is not None:
            spec["minReadySeconds"] = change.min_ready_seconds
        changes: dict[str, Any] = {"metadata": {"annotations": dict(change.annotations)}}
        if spec:
            changes["spec"] = spec
        patch = merge_patch(target.uid, target.resource_version, changes)
        try:
            answer = await self._client.patch(REPLICA_SETS, target.namespace, target.name, patch)
        except NotFound:
            return
        self._sets.wrote(job_document(answer))
        if change.replicas != target.replicas:
            await self._say_scaled(manifest, target.name, target.replicas, change.replicas)

    async def _own(self, each: PodSet, change: Mapping[str, Any]) -> None:
        """Raises Conflict when somebody else has written the set."""
        patch = {
            "metadata": {
                "uid": each.uid,
                "resourceVersion": each.resource_version,
                "ownerReferences": [dict(change)],
            }
        }
        try:
            answer = await self._client.patch(
                REPLICA_SETS, each.namespace, each.name, patch, kind="strategic"
            )
        except (NotFound, Invalid):
            return
        self._sets.wrote(job_document(answer))

    async def _delete(self, each: PodSet) -> None:
        try:
            await self._client.delete(
                REPLICA_SETS, each.namespace, each.name, uid=each.uid, propagation="Background"
            )
        except (NotFound, Conflict):
            return

    async def _write(
        self, document: JobDocument, manifest: Mapping[str, Any], outcome: DeploymentOutcome
    ) -> None:
        """Revision and status say what the outcome says. Raises Conflict when they are behind."""
        version = document.resource_version
        held = mapping(mapping(manifest.get("metadata")).get("annotations"))
        try:
            if outcome.revision and held.get(REVISION) != outcome.revision:
                changes = {"metadata": {"annotations": {REVISION: outcome.revision}}}
                answer = await self._client.patch(
                    DEPLOYMENTS,
                    document.namespace,
                    document.name,
                    merge_patch(document.uid, version, changes),
                )
                version = mapping(answer.get("metadata")).get("resourceVersion", "")
                self._deployments.wrote(job_document(answer))
            status = merge_difference(mapping(manifest.get("status")), outcome.status)
            if status:
                answer = await self._client.patch(
                    DEPLOYMENTS,
                    document.namespace,
                    document.name,
                    merge_patch(document.uid, version, {"status": status}),
                    subresource="status",
                )
                self._deployments.wrote(job_document(answer))
        except NotFound:
            return

    async def _say_scaled(
        self, manifest: Mapping[str, Any], name: str, before: int, after: int
    ) -> None:
        way = "up" if after > before else "down"
        words = f"Scaled {way} replica set {name} from {before} to {after}"
        await self._say(manifest, "Normal", "ScalingReplicaSet", words)

    async def _say_refused(
        self, document: JobDocument, manifest: Mapping[str, Any], name: str, refused: ApiError
    ) -> None:
        words = f'Failed to create new replica set "{name}": {refused.message}'
        status = dict(mapping(manifest.get("status")))
        reason = "ReplicaSetCreateError"
        statuses.put_condition(status, statuses.PROGRESSING, "False", reason, words, self._clock())
        if status != manifest.get("status"):
            await self._say(manifest, "Warning", reason, words)
            await self._write(document, manifest, DeploymentOutcome(status))

    async def _say(self, manifest: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        now = self._clock()
        await tell(
            self._client,
            DEPLOYMENTS,
            mapping(manifest.get("metadata")),
            Said(_COMPONENT, kind, reason, message),
            mark=f"{int(now * 1_000_000):x}.{reason.lower()}.{len(message)}",
            now=now,
        )


def _reference(document: JobDocument) -> dict[str, Any]:
    return {
        "apiVersion": DEPLOYMENTS.api_version,
        "kind": DEPLOYMENTS.kind,
        "name": document.name,
        "uid": document.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
