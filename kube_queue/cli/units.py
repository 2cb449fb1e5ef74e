"""`hold`, `resume`, `move` and `priority`: edits of the QueueUnit that a job or unit name means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kube_queue.api.errors import Conflict, Forbidden
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.api.units import Unit, project_unit
from kube_queue.cli.errors import Stop
from kube_queue.cli.stopping import demand_queue, with_client
from kube_queue.kube.client import Client
from kube_queue.kube.credentials import load_credentials
from kube_queue.kube.patches import merge_patch
from kube_queue.serving.naming import kind_and_name, several, units_named, unknown

TRIES = 5
"""How often an edit that somebody else overtook is decided anew."""
Edit = Callable[[Unit], tuple[Mapping[str, Any] | None, str]]
"""The change of the unit's spec, None for nothing, and the sentence that is true afterwards."""


def hold_verb(job: str, namespace: str | None, kubeconfig: str | None, context: str | None) -> None:
    """The job does not run until it is resumed. Raises Stop."""

    def edit(unit: Unit) -> tuple[Mapping[str, Any] | None, str]:
        admitted = unit.phase in HOLDS_QUOTA and unit.phase is not Phase.RESERVED
        if admitted and not unit.evictable:
            raise Stop(
                f"{shown(unit)} is {unit.phase}, and jobs of its kind cannot be stopped once they "
                "run; delete the job to end it"
            )
        if not unit.active:
            return None, f"{shown(unit)} is held already."
        stops = "; its job is being stopped" if admitted else ""
        until = f"until `kube-queue resume {_word(unit)}`"
        return {"active": False}, f"{shown(unit)} is held{stops}: it waits {until}."

    _edit(job, namespace, kubeconfig, context, edit)


def resume_verb(
    job: str, namespace: str | None, kubeconfig: str | None, context: str | None
) -> None:
    """The job waits for its turn. Raises Stop."""

    def edit(unit: Unit) -> tuple[Mapping[str, Any] | None, str]:
        if unit.active:
            return None, f"{shown(unit)} is not held: it is {unit.phase}."
        where = f" in Queue {unit.queue}" if unit.queue else ""
        return {"active": True}, f"{shown(unit)} is resumed and waits for its turn{where}."

    _edit(job, namespace, kubeconfig, context, edit)


def move_verb(
    job: str, queue: str, namespace: str | None, kubeconfig: str | None, context: str | None
) -> None:
    """The waiting job is in that Queue. Raises Stop for one that does not wait."""

    def edit(unit: Unit) -> tuple[Mapping[str, Any] | None, str]:
        if unit.phase in HOLDS_QUOTA:
            raise Stop(
                f"{shown(unit)} is {unit.phase}: only a job that waits can be moved; "
                f"stop it first by `kube-queue hold {_word(unit)}`"
            )
        if unit.queue == queue:
            return None, f"{shown(unit)} is in Queue {queue} already."
        before = f" from Queue {unit.queue}" if unit.queue else ""
        return {"queue": queue}, f"{shown(unit)} is moved{before} to Queue {queue}."

    async def exists(client: Client) -> None:
        try:
            await demand_queue(client, queue)
        except Forbidden:
            # Who may edit units need not see Queues; one that is missing is told by explain.
            return

    _edit(job, namespace, kubeconfig, context, edit, exists)


def priority_verb(
    job: str, value: int, namespace: str | None, kubeconfig: str | None, context: str | None
) -> None:
    """The job has this priority in its queue. Raises Stop."""

    def edit(unit: Unit) -> tuple[Mapping[str, Any] | None, str]:
        if unit.priority == value:
            return None, f"{shown(unit)} has priority {value} already."
        return {"priority": value}, (
            f"{shown(unit)} has priority {value} instead of {unit.priority}; "
            "a later change of the job's own priority replaces it."
        )

    _edit(job, namespace, kubeconfig, context, edit)


def shown(unit: Unit) -> str:
    """The unit by the job it stands for."""
    if unit.job is None:
        return f"QueueUnit {unit.key}"
    return f"{unit.job.kind} {unit.namespace}/{unit.job.name}"


def _word(unit: Unit) -> str:
    kind, name = (unit.job.kind, unit.job.name) if unit.job else ("QueueUnit", unit.name)
    return f"{kind}/{name} -n {unit.namespace}"


def _edit(
    job: str,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    edit: Edit,
    before: Callable[[Client], Awaitable[None]] | None = None,
) -> None:
    space = namespace or load_credentials(kubeconfig, context).namespace

    async def work(client: Client) -> str:
        if before is not None:
            await before(client)
        return await _edited(client, space, job, edit)

    print(asyncio.run(with_client(kubeconfig, context, work)))


async def _edited(client: Client, namespace: str, job: str, edit: Edit) -> str:
    for _ in range(TRIES):
        unit = await _named(client, namespace, job)
        if unit.phase in FINISHED:
            raise Stop(f"{shown(unit)} is over ({unit.phase}): nothing about it can be changed")
        change, said = edit(unit)
        if change is None:
            return said
        # Only at the version it was decided on: an admission in between makes it another question.
        patch = merge_patch(unit.uid, unit.resource_version, {"spec": dict(change)})
        try:
            await client.patch(QUEUE_UNITS, unit.namespace, unit.name, patch)
        except Conflict:
            continue
        return said
    raise Stop(f"{job} is being changed by others all the time; try again")


async def _named(client: Client, namespace: str, job: str) -> Unit:
    """The one unit that is meant, as `explain` would find it. Raises Stop."""
    kind, name = kind_and_name(job)
    units = [project_unit(one) for one in await client.list(QUEUE_UNITS, namespace)]
    found = units_named(units, namespace, name, kind.lower())
    if len(found) > 1:
        raise Stop(several(namespace, name, found))
    if not found:
        raise Stop(unknown(namespace, name, kind))
    return found[0]
