"""The second act of the demo: a gang that waits whole and starts whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.types import NAMESPACES, PODS
from kube_queue.app.demo_steps import DemoFailed, Step, sleeping, table
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

NAMESPACE: Final = "gangs"
SHOWN: Final = f"kubectl get pods -n {NAMESPACE}"
LONGEST: Final = 30.0
_GANG: Final = "worker-"
_BUSY: Final = "busy-"


async def play_gang(client: Client, seconds: float, show: Callable[[Step], None]) -> None:
    """The gang had no pod on a node while it did not fit, and all of them once it did.

    `seconds` is what each pod sleeps. Raises DemoFailed.
    """
    pods = _Pods(client)
    watching = asyncio.create_task(pods.informer.run())
    documents = sleeping("demo/gang.yaml", seconds)
    first = [one for one in documents if one["metadata"]["name"].startswith(_BUSY)]
    gang = [one for one in documents if one["metadata"]["name"].startswith(_GANG)]
    try:
        await pods.informer.synced.wait()
        show(Step("kubectl apply -f gang.yaml"))
        await client.create(NAMESPACES, documents[0])
        async with asyncio.timeout(2 * seconds + LONGEST):
            for one in first:
                await client.create(PODS, one, NAMESPACE)
            await pods.until(lambda: pods.on_nodes(_BUSY) == len(first))
            for one in gang:
                await client.create(PODS, one, NAMESPACE)
            await pods.until(lambda: len(pods.held(_GANG)) == len(gang))
            show(await table(client, PODS, SHOWN, NAMESPACE))
            show(_why(pods.held(_GANG)[0]))
            await pods.until(lambda: pods.on_nodes(_GANG) > 0)
            await pods.until(lambda: pods.started(_GANG) == len(gang))
            show(await table(client, PODS, SHOWN, NAMESPACE))
        if pods.parted:
            raise DemoFailed("a part of the gang started while the rest of it had no room")
    except TimeoutError:
        placed = pods.on_nodes(_GANG)
        raise DemoFailed(f"{placed} of the gang's {len(gang)} pods started") from None
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _why(pod: _Pod) -> Step:
    path = "'{.status.conditions[?(@.type==\"PodScheduled\")].message}'"
    return Step(
        f"kubectl get pod {pod.name} -n {NAMESPACE} -o jsonpath={path}", rows=[[pod.refusal]]
    )


class _Pods:
    """The pods of the act, and waits for what becomes of them."""

    def __init__(self, client: Client) -> None:
        self.informer = Informer(client, PODS, _Pod.of, rng=random.Random(0))
        self.informer.add_handler(self._seen)
        self.parted = False
        """A pod of the gang had a node while those that keep it waiting still ran."""
        self._event = asyncio.Event()

    def on_nodes(self, prefix: str) -> int:
        """How many pods whose names begin so are on nodes."""
        return sum(bool(pod.node) for pod in self._named(prefix))

    def running(self, prefix: str) -> int:
        """How many of them run."""
        return sum(pod.phase == "Running" for pod in self._named(prefix))

    def started(self, prefix: str) -> int:
        """How many of them run or have run."""
        return sum(pod.phase in ("Running", "Succeeded") for pod in self._named(prefix))

    def held(self, prefix: str) -> list[_Pod]:
        """Those that were told why they have no node."""
        return [pod for pod in self._named(prefix) if pod.refusal and not pod.node]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once it holds."""
        while not holds():
            self._event.clear()
            await self._event.wait()

    def _named(self, prefix: str) -> list[_Pod]:
        named = [pod for pod in self.informer.values() if pod.name.startswith(prefix)]
        return sorted(named, key=lambda pod: pod.name)

    def _seen(self, old: _Pod | None, new: _Pod | None) -> None:
        del old, new
        self.parted |= self.on_nodes(_GANG) > 0 and self.running(_BUSY) == 2
        self._event.set()


@dataclass(frozen=True, slots=True)
class _Pod:
    namespace: str
    name: str
    uid: str
    resource_version: str
    node: str
    phase: str
    refusal: str
    """Why it has no node yet, as its condition PodScheduled says."""

    @classmethod
    def of(cls, whole: Mapping[str, Any]) -> _Pod:
        metadata, status = whole["metadata"], whole.get("status", {})
        said = [
            one.get("message", "")
            for one in status.get("conditions") or ()
            if one["type"] == "PodScheduled" and one["status"] == "False"
        ]
        return cls(
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            whole["spec"].get("nodeName", ""),
            status.get("phase", ""),
            said[0] if said else "",
        )
