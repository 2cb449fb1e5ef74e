"""`kube-queue submit`: jobs created so that they wait, or what would become of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kube_queue.api.errors import AlreadyExists, ApiError, NotFound
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.types import QUEUES, ResourceType
from kube_queue.app.submitting import (
    Kinds,
    Served,
    Submission,
    Wishes,
    around,
    create,
    unit_question,
)
from kube_queue.cli.documents import read_documents
from kube_queue.cli.errors import REFUSED, USAGE, Stop
from kube_queue.cli.explain import explained
from kube_queue.cli.questions import Answer, Questions
from kube_queue.cli.stopping import with_client
from kube_queue.kube.client import Client

CLIENT: Final = "client"
SERVER: Final = "server"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    source: str
    namespace: str | None
    queue: str
    quota: str
    priority: int | None
    dry_run: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One job that nobody created, and the unit it would have."""

    submission: Submission
    unit: str


def submit_verb(wanted: Wanted, kubeconfig: str | None, context: str | None) -> None:
    """The jobs are created held, or it is said what would become of them. Raises Stop."""
    if wanted.dry_run not in ("", CLIENT, SERVER):
        raise Stop(f"--dry-run: {wanted.dry_run!r} is not known; use client or server", USAGE)
    questions = Questions(kubeconfig, context)
    submissions = _submissions(wanted, questions.credentials.namespace)
    if not wanted.dry_run:
        asyncio.run(
            with_client(kubeconfig, context, lambda client: _created(client, submissions, wanted))
        )
        return
    dry = wanted.dry_run == SERVER
    trials = asyncio.run(
        with_client(kubeconfig, context, lambda client: _trials(client, submissions, server=dry))
    )
    for number, trial in enumerate(trials):
        if number:
            print()
        print(told(trial.submission, questions.ask("try", unit=trial.unit)))
    if len(trials) > 1:
        print("\nEach is judged by itself, as if the others were not submitted.")


def told(submission: Submission, answer: Answer) -> str:
    """What would become of the job, for people."""
    # What was never submitted has not waited.
    lines = explained({**answer, "waitedSeconds": None}).splitlines()[1:]
    name = f"{submission.waits} in namespace {answer['namespace']}"
    if answer["runsNow"]:
        return "\n".join([f"{name} would run now.", *_facts(lines, "Queue:", "Priority:")])
    if answer["evicts"]:
        leaving = ", ".join(_job(one) for one in answer["evicts"])
        verdict = f"{name} would run once {leaving} made room: it may take quota back."
    else:
        verdict = f"{name} would wait ({answer['reason']})."
    return "\n".join([verdict, *lines])


def _facts(lines: Sequence[str], *names: str) -> list[str]:
    return [line for line in lines if line.strip().startswith(names)]


def _job(one: dict[str, Any]) -> str:
    job = one["job"] or {"kind": "QueueUnit", "name": one["name"]}
    return f"{job['kind']} {one['namespace']}/{job['name']}"


def _submissions(wanted: Wanted, default_namespace: str) -> list[Submission]:
    """What is to be created, all of it checked before the first is. Raises Stop, InvalidInput."""
    documents = read_documents(wanted.source)
    kinds = Kinds()
    wishes = Wishes(wanted.queue, wanted.quota, wanted.priority)
    found = [kinds.submission(one.place, one.manifest, wishes) for one in documents]
    if all(one.extension is None for one in found):
        problem = "holds no object" if not found else "holds no job that can be queued"
        raise Stop(f"{wanted.source}: {problem}; the kinds are {', '.join(kinds.names)}", USAGE)
    for one in found:
        metadata = one.manifest["metadata"]
        written = metadata.get("namespace")
        if wanted.namespace and written and written != wanted.namespace:
            raise Stop(
                f"{one.place}: {one.shown} is of namespace {written}, not {wanted.namespace}; "
                "leave one of them out",
                USAGE,
            )
        metadata["namespace"] = written or wanted.namespace or default_namespace
    return found


async def _created(client: Client, submissions: Sequence[Submission], wanted: Wanted) -> None:
    served = Served(client)
    # All kinds first: half a file is nothing anybody asked for.
    resources = [await served.resource(one) for one in submissions]
    if wanted.queue:
        await _note_missing(client, wanted.queue)
    failed = [
        not await _create_one(client, resource, one)
        for resource, one in zip(resources, submissions, strict=True)
    ]
    if any(failed):
        raise Stop(f"{sum(failed)} of {len(failed)} objects were not created", REFUSED)


async def _create_one(client: Client, resource: ResourceType, one: Submission) -> bool:
    manifest = _placed(one, resource)
    kind, where = resource.kind, f"{manifest['metadata']['namespace']}/" * resource.namespaced
    try:
        made = await create(client, resource, manifest, dry_run=False)
    except AlreadyExists:
        name = manifest["metadata"].get("name", "")
        print(
            f"{one.place}: {kind} {where}{name} exists already and is left as it is; delete it "
            "first, or give the new one another name",
            file=sys.stderr,
        )
        return False
    except ApiError as refused:
        print(f"{one.place}: {one.shown} was refused: {refused}", file=sys.stderr)
        return False
    name = f"{kind} {where}{made['metadata']['name']}"
    if one.extension is None:
        print(f"{name} created as it is: its kind is not queued")
    else:
        who = "it" if one.maker is None else f"each {one.maker.makes} of it"
        print(f"{name} submitted: {who} is held until its turn comes")
    return True


def _placed(one: Submission, resource: ResourceType) -> dict[str, Any]:
    if resource.namespaced:
        return one.manifest
    metadata = {
        name: said for name, said in one.manifest["metadata"].items() if name != "namespace"
    }
    return {**one.manifest, "metadata": metadata}


async def _note_missing(client: Client, queue: str) -> None:
    try:
        await client.get(QUEUES, QUEUE_NAMESPACE, queue)
    except NotFound:
        print(f"Note: there is no Queue {queue} yet; jobs wait until there is.", file=sys.stderr)
    except ApiError:
        # Who may create jobs need not see Queues.
        return


async def _trials(
    client: Client, submissions: Sequence[Submission], *, server: bool
) -> list[Trial]:
    found, served, surroundings = [], Served(client), await around(client)
    for one in submissions:
        tried = one
        if server:
            resource = await served.resource(one)
            tried = replace(one, manifest=await _tried(client, resource, one))
        if tried.extension is not None:
            found.append(Trial(tried, unit_question(tried, tried.extension, surroundings)))
    return found


async def _tried(client: Client, resource: ResourceType, one: Submission) -> dict[str, Any]:
    """The object as the server would make it."""
    try:
        return await create(client, resource, _placed(one, resource), dry_run=True)
    except AlreadyExists:
        print(f"Note: {one.shown} exists already; submitting it would fail.", file=sys.stderr)
        return one.manifest
    except ApiError as refused:
        raise Stop(f"{one.place}: {one.shown} would be refused: {refused}") from None
