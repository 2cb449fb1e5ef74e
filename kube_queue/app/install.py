"""Installs what kube-queue needs into a cluster: its CRDs, its namespace, and, where the cluster
has no operators of its own, the minimal operator CRDs the simulator plays.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kube_queue import manifests
from kube_queue.api.errors import AlreadyExists
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.types import CRDS, NAMESPACES
from kube_queue.kube.client import Client

POLL_SECONDS = 0.05
ESTABLISHED_WITHIN = 30.0


async def install(client: Client, *, operators: bool, others: Collection[str] = ()) -> None:
    """The CRDs are served and the namespace exists; run again, it changes nothing.

    `operators` adds the operator CRDs that the cluster lacks; real ones are left as they are, and
    those named in `others` are for somebody else to bring.
    Raises ApiError, ConnectionLost, TimeoutError when a CRD is not Established in 30 s.
    """
    ours = manifests.crds()
    for crd in ours:
        await _apply_crd(client, crd)
    theirs = manifests.operator_crds() if operators else []
    theirs = [crd for crd in theirs if crd["metadata"]["name"] not in others]
    for crd in theirs:
        await _create(client, crd)
    await _established(client, [crd["metadata"]["name"] for crd in (*ours, *theirs)])
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": QUEUE_NAMESPACE}}
    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACES, namespace)


async def _create(client: Client, crd: Mapping[str, Any]) -> bool:
    try:
        await client.create(CRDS, dict(crd))
    except AlreadyExists:
        return False
    return True


async def _apply_crd(client: Client, crd: Mapping[str, Any]) -> None:
    if not await _create(client, crd):
        metadata = crd["metadata"]
        change = {"metadata": {"annotations": metadata.get("annotations", {})}, "spec": crd["spec"]}
        await client.patch(CRDS, "", metadata["name"], change)


async def _established(client: Client, names: Iterable[str]) -> None:
    async with asyncio.timeout(ESTABLISHED_WITHIN):
        for name in names:
            while not is_established(await client.get(CRDS, "", name)):
                await asyncio.sleep(POLL_SECONDS)


def is_established(crd: Mapping[str, Any]) -> bool:
    """Whether the kind of this CRD is served."""
    # A genuine API server answers null for a moment after the creation.
    conditions = crd.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
