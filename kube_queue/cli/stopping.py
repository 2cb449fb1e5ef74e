"""`kube-queue stop QUEUE` and `start QUEUE`: spec.stopPolicy of a Queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kube_queue.api.errors import Forbidden, NotFound
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.queues import StopPolicy, project_queue
from kube_queue.api.types import QUEUES
from kube_queue.cli.errors import Stop
from kube_queue.jobframework.fields import number
from kube_queue.kube.client import Client, Object
from kube_queue.kube.connection import connect

T = TypeVar("T")


def stop_verb(queue: str, drain: bool, kubeconfig: str | None, context: str | None) -> None:
    """The Queue admits nothing; with `drain` what it admitted is evicted. Raises Stop."""
    wanted = StopPolicy.HOLD_AND_DRAIN if drain else StopPolicy.HOLD
    before, after = asyncio.run(
        with_client(kubeconfig, context, lambda client: _set(client, queue, wanted))
    )
    name = after["metadata"]["name"]
    again = "already " if project_queue(before).stop is wanted else ""
    said = f"Queue {name} is {again}stopped: it admits nothing until `kube-queue start {name}`"
    admitted = number(after, "status", "admitted")
    jobs = "1 admitted job" if admitted == 1 else f"{admitted} admitted jobs"
    if admitted and drain:
        said += f"; {jobs} must leave and will wait in it again"
    elif admitted:
        said += f"; {jobs} {'goes' if admitted == 1 else 'go'} on"
    print(f"{said}.")


def start_verb(queue: str, kubeconfig: str | None, context: str | None) -> None:
    """The Queue admits again. Raises Stop."""
    before, after = asyncio.run(
        with_client(kubeconfig, context, lambda client: _set(client, queue, StopPolicy.NONE))
    )
    name, pending = after["metadata"]["name"], number(after, "status", "pending")
    if project_queue(before).stop is StopPolicy.NONE:
        print(f"Queue {name} is not stopped.")
        return
    jobs = "1 job waits" if pending == 1 else f"{pending} jobs wait"
    print(f"Queue {name} is started; {jobs} in it.")


async def with_client(
    kubeconfig: str | None, context: str | None, work: Callable[[Client], Awaitable[T]]
) -> T:
    """What the work gives, done with a client that is closed afterwards."""
    client = await connect(kubeconfig, context)
    try:
        return await work(client)
    finally:
        await client.close()


async def demand_queue(client: Client, name: str) -> Object:
    """The Queue of this name. Raises Stop with the names there are."""
    name = name.removeprefix(f"{QUEUE_NAMESPACE}/")
    try:
        return await client.get(QUEUES, QUEUE_NAMESPACE, name)
    except NotFound:
        raise Stop(f"there is no Queue {name}; {await _choice(client)}") from None


async def _choice(client: Client) -> str:
    try:
        queues = await client.list(QUEUES, QUEUE_NAMESPACE)
    except Forbidden:
        return "ask your administrator for its name"
    except NotFound:
        return "this cluster does not serve Queues: install kube-queue first"
    names = sorted(one["metadata"]["name"] for one in queues)
    listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    return f"there are {listed}" if names else "there are none yet"


async def _set(client: Client, queue: str, wanted: StopPolicy) -> tuple[Object, Object]:
    """The Queue before and after."""
    before = await demand_queue(client, queue)
    if project_queue(before).stop is wanted:
        return before, before
    value = None if wanted is StopPolicy.NONE else wanted.value
    patch = {"metadata": {"uid": before["metadata"]["uid"]}, "spec": {"stopPolicy": value}}
    after = await client.patch(QUEUES, QUEUE_NAMESPACE, before["metadata"]["name"], patch)
    return before, after
