"""Which objects stand above a pod: its controller, that one's controller, and so on up.

Only what controllers put between a job and its pods is asked about, once, and only its metadata:
a ReplicaSet, a Job, a RayCluster. An object of any other kind, one that is gone, or one that may
not be read has nothing above it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from sys import intern
from typing import Any, Final, NamedTuple

import orjson
import structlog

from kube_queue.api.errors import Forbidden, NotFound
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.types import JOBS, PODS, TFJOBS, ResourceType
from kube_queue.kube.client import Client
from kube_queue.kube.workqueue import WorkQueue, run_workers

WORKERS: Final = 16
METADATA_ONLY: Final = (
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
)
_SHARED: Final = 65_536

_log = structlog.get_logger("controller.owners")


class Owner(NamedTuple):
    """The object a controller reference names."""

    api_version: str
    kind: str
    name: str
    uid: str


_BETWEEN: Final = {
    (one.group, one.kind): one
    for one in (
        PODS,
        JOBS,
        TFJOBS,
        ResourceType("apps", "v1", "replicasets", "ReplicaSet"),
        ResourceType("apps", "v1", "deployments", "Deployment"),
        ResourceType("apps", "v1", "statefulsets", "StatefulSet"),
        ResourceType("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet"),
        ResourceType("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"),
        ResourceType("ray.io", "v1", "rayclusters", "RayCluster"),
        ResourceType("ray.io", "v1", "rayjobs", "RayJob"),
        ResourceType("kubeflow.org", "v1", "pytorchjobs", "PyTorchJob"),
        ResourceType("kubeflow.org", "v1", "mpijobs", "MPIJob"),
        ResourceType("kubeflow.org", "v1", "xgboostjobs", "XGBoostJob"),
        ResourceType("kubeflow.org", "v1", "paddlejobs", "PaddleJob"),
        ResourceType("kubeflow.org", "v1", "jaxjobs", "JAXJob"),
        ResourceType("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob"),
        ResourceType("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication"),
    )
}
"""Kinds that may have a controller of their own, by group and kind; asked for in the version that
the reference names."""


def controller_of(metadata: Mapping[str, Any]) -> Owner | None:
    """What controls the object of this metadata."""
    references = metadata.get("ownerReferences")
    for entry in map(mapping_of, references if isinstance(references, (list, tuple)) else ()):
        if entry.get("controller") is True:
            names = (text_of(entry.get(name)) for name in ("apiVersion", "kind", "name", "uid"))
            owner = Owner(*names)
            return _shared(owner) if owner.uid else None
    return None


class Owners:
    """The objects above those that were asked about, each until it is forgotten.

    ``learned(uid)`` is called when what stands above that object has become known. Objects are in
    the namespace of what they own, always.
    """

    def __init__(self, learned: Callable[[str], None]) -> None:
        self._learned = learned
        self._above: dict[str, Owner | None] = {}
        self._below: dict[str, set[str]] = {}
        self._asked: dict[str, tuple[str, Owner]] = {}
        self._work: WorkQueue[str] = WorkQueue()
        self._refused: set[str] = set()
        self.quiet = asyncio.Event()
        """Set while everything that was asked for is known or cannot be."""
        self.quiet.set()

    def above(self, owner: Owner) -> tuple[list[str], bool]:
        """The uids from this object up as far as is known, and whether that is all of them."""
        uids: list[str] = []
        while owner.uid not in uids:
            uids.append(owner.uid)
            if not _is_between(owner):
                break
            if owner.uid not in self._above:
                return uids, False
            parent = self._above[owner.uid]
            if parent is None:
                break
            owner = parent
        return uids, True

    def parent(self, uid: str) -> Owner | None:
        """What controls the object of this uid, if that is known."""
        return self._above.get(uid)

    def below(self, uid: str) -> Iterator[str]:
        """This object and every one known to stand below it, by uid."""
        found = {uid}
        stack = [uid]
        while stack:
            one = stack.pop()
            yield one
            fresh = self._below.get(one, set()) - found
            found |= fresh
            stack.extend(fresh)

    def ask(self, namespace: str, owner: Owner) -> None:
        """What stands above the object is asked for, up to the top."""
        while _is_between(owner):
            if owner.uid not in self._above:
                self._asked[owner.uid] = (namespace, owner)
                self.quiet.clear()
                self._work.add(owner.uid)
                return
            parent = self._above[owner.uid]
            if parent is None:
                return
            owner = parent

    def forget(self, uid: str, kept: Callable[[str], bool]) -> None:
        """Nobody needs the object any more; nor those above it that `kept` says nothing of."""
        while not self._below.get(uid) and not kept(uid):
            if self._asked.pop(uid, None) is not None:
                self._set_quiet()
            parent = self._above.pop(uid, None)
            if parent is None:
                return
            siblings = self._below[parent.uid]
            siblings.discard(uid)
            if not siblings:
                del self._below[parent.uid]
            uid = parent.uid

    async def run(self, client: Client) -> None:
        """Ask until cancelled."""

        async def look(uid: str) -> None:
            await self._look(client, uid)

        await run_workers(self._work, look, WORKERS)

    async def _look(self, client: Client, uid: str) -> None:
        if uid not in self._asked:
            return
        namespace, owner = self._asked[uid]
        group, _, version = owner.api_version.rpartition("/")
        resource = replace(_BETWEEN[group, owner.kind], version=version)
        parent: Owner | None = None
        try:
            answer = await client.raw(
                "GET", resource.path(namespace, owner.name), accept=METADATA_ONLY
            )
            metadata = mapping_of(mapping_of(orjson.loads(answer.body)).get("metadata"))
            if metadata.get("uid") == uid:
                parent = controller_of(metadata)
        except NotFound:
            pass  # gone, or a kind this cluster does not serve in that version
        except Forbidden as error:
            if owner.kind not in self._refused:
                self._refused.add(owner.kind)
                _log.warning("pods of its jobs may be counted", kind=owner.kind, problem=str(error))
        if self._asked.pop(uid, None) is None:
            return  # forgotten meanwhile
        self._above[uid] = parent
        if parent is not None:
            self._below.setdefault(parent.uid, set()).add(uid)
            self.ask(namespace, parent)
        self._learned(uid)
        self._set_quiet()

    def _set_quiet(self) -> None:
        if not self._asked:
            self.quiet.set()


def _group(owner: Owner) -> str:
    return owner.api_version.rpartition("/")[0]


def _is_between(owner: Owner) -> bool:
    return (_group(owner), owner.kind) in _BETWEEN


@lru_cache(maxsize=_SHARED)
def _shared(owner: Owner) -> Owner:
    return Owner(intern(owner.api_version), intern(owner.kind), owner.name, owner.uid)
