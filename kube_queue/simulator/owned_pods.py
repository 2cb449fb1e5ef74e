"""Pods that a job owns: created from its template, deleted with a precondition."""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from kube_queue.api.types import PODS, ResourceType
from kube_queue.kube.client import Client
from kube_queue.simulator.events import Said, tell
from kube_queue.simulator.fields import mapping, mappings, number
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import PodView, pod_view

_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_GENERATED: Final = 58


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one pod has besides its template; `container_env` is added to every container."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    container_env: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    generate_name: str = ""
    """What the name was made from, where somebody may want to know."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How a controller says, in an Event of its job, that a pod was refused."""

    component: str
    reason: str


class OwnedPods:
    """Creates and deletes the pods of jobs of one kind."""

    def __init__(
        self,
        client: Client,
        pods: Table[PodView],
        kind: ResourceType,
        voice: Voice,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._pods = pods
        self._kind = kind
        self._voice = voice
        self._clock = clock

    async def create(
        self,
        job_metadata: Mapping[str, Any],
        template: Mapping[str, Any],
        wanted: Wanted,
        above: PodView | None = None,
    ) -> bool:
        """The pod exists and belongs to the job, or to the pod `above` it.

        False when the name is taken by another pod.

        Raises ApiError when the server refuses the pod; an Event of the job says why.
        """
        pod = self._pod(job_metadata, template, wanted, above)
        namespace = pod["metadata"]["namespace"]
        try:
            answer = await self._client.create(PODS, pod)
        except AlreadyExists:
            try:
                answer = await self._client.get(PODS, namespace, wanted.name)
            except NotFound:
                return False
        except (Invalid, BadRequest, Forbidden) as refused:
            await self._say(job_metadata, wanted.name, refused)
            raise
        view = pod_view(answer)
        self._pods.wrote(view)
        owner = job_metadata["uid"] if above is None else above.uid
        return view.owner == owner and not view.deletion

    async def delete(self, pod: PodView) -> None:
        """The pod is gone or going."""
        if pod.deletion:
            return
        try:
            answer = await self._client.delete(PODS, pod.namespace, pod.name, uid=pod.uid)
        except (NotFound, Conflict):
            return
        going = mapping(answer.get("metadata"))
        if answer.get("kind") == PODS.kind and number(going.get("deletionGracePeriodSeconds")):
            self._pods.wrote(pod_view(answer))

    async def _say(self, job_metadata: Mapping[str, Any], name: str, refused: ApiError) -> None:
        """One Event for the same fault of the same job, however often a pod is tried."""
        words = f"Error creating: {refused.message}"
        fault = f"{job_metadata['uid']} {words.replace(name, '')}"
        digest = hashlib.sha256(fault.encode()).hexdigest()[:16]
        await tell(
            self._client,
            self._kind,
            job_metadata,
            Said(self._voice.component, "Warning", self._voice.reason, words),
            mark=digest,
            now=self._clock(),
        )

    def _pod(
        self,
        job_metadata: Mapping[str, Any],
        template: Mapping[str, Any],
        wanted: Wanted,
        above: PodView | None,
    ) -> dict[str, Any]:
        given = mapping(template.get("metadata"))
        spec: dict[str, Any] = {**copy.deepcopy(dict(mapping(template.get("spec")))), **wanted.spec}
        env = [{"name": name, "value": value} for name, value in wanted.container_env.items()]
        for container in mappings(spec.get("containers")) if env else ():
            if isinstance(container, dict):
                container["env"] = [*(container.get("env") or []), *env]
        kind = self._kind if above is None else PODS
        owner = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": job_metadata["name"] if above is None else above.name,
            "uid": job_metadata["uid"] if above is None else above.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        base = {"generateName": wanted.generate_name} if wanted.generate_name else {}
        return {
            "apiVersion": PODS.api_version,
            "kind": PODS.kind,
            "metadata": {
                "name": wanted.name,
                **base,
                "namespace": job_metadata["namespace"],
                "labels": {**mapping(given.get("labels")), **wanted.labels},
                "annotations": {**mapping(given.get("annotations")), **wanted.annotations},
                "ownerReferences": [owner],
            },
            "spec": spec,
        }


def generated_name(base: str, rng: random.Random) -> str:
    """The base, cut as a server cuts it, and five letters by chance."""
    suffix = "".join(rng.choices(_SUFFIX_LETTERS, k=5))
    return f"{base[:_LONGEST_GENERATED]}{suffix}"
