"""New jobs on their way into a queue: which kind each is, how it is marked, what it would ask for.

`Served`, `create` and `around` speak to the cluster; the rest is pure but for the time.
"""

from __future__ import annotations

import asyncio
import copy
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from kube_queue.api.conditions import rfc3339_micro
from kube_queue.api.errors import InvalidInput, InvalidManifest, NotFound
from kube_queue.api.names import (
    ENQUEUE_TIMESTAMP_ANNOTATION,
    PRIORITY_ANNOTATION,
    QUEUE_NAME_ANNOTATION,
    QUOTA_LABELS,
)
from kube_queue.api.types import ResourceType
from kube_queue.app.quiet import log_only_errors
from kube_queue.controller.jobs.around import AroundWatch
from kube_queue.jobframework import (
    Grouped,
    JobExtension,
    MadeFromTemplates,
    Surroundings,
    Versioned,
    every_extension,
    held_from_creation,
    held_in_template,
    view_job,
)
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.fields import entries, section, text
from kube_queue.jobframework.unit_manifest import create_unit
from kube_queue.kube.client import Client, Object

LONGEST_QUESTION = 12_000
"""Characters of a unit that still fit into the address of a question, written as an address."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says of every job."""

    queue: str = ""
    quota: str = ""
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Maker:
    """A kind whose objects make jobs that can be queued, and who knows their templates."""

    resource: ResourceType
    extension: JobExtension
    templates: MadeFromTemplates

    @property
    def makes(self) -> str:
        """What it makes, for people."""
        kind = self.extension.resource.kind
        return f"group of {kind}s" if isinstance(self.extension, Grouped) else kind


@dataclass(frozen=True, slots=True)
class Submission:
    """One object that is to be created."""

    place: str
    manifest: dict[str, Any]
    extension: JobExtension | None
    """None: its kind is not queued, so it is created as it is."""
    maker: Maker | None = None
    """Not None: it is not queued itself, but every job it makes is."""

    @property
    def job(self) -> Mapping[str, Any]:
        """What waits in a queue: the object, or one of the jobs it will make."""
        return self.manifest if self.maker is None else self.maker.templates.made(self.manifest)

    @property
    def waits(self) -> str:
        """Who waits in a queue, for people."""
        if self.maker is None:
            return self.shown
        return f"Each {self.maker.makes} of {self.shown}"

    @property
    def shown(self) -> str:
        """Kind and name, for people."""
        metadata = self.manifest["metadata"]
        name = metadata.get("name") or f"{metadata['generateName']}…"
        return f"{self.manifest['kind']} {name}"


class Kinds:
    """The kinds that can be queued."""

    def __init__(self) -> None:
        every = every_extension()
        # A pod that is created by itself makes no group.
        self._extensions = {
            (one.resource.group, one.resource.kind): one
            for one in every
            if not isinstance(one, Grouped)
        }
        self._makers = {
            (maker.group, maker.kind): Maker(maker, one, one)
            for one in every
            if isinstance(one, MadeFromTemplates)
            for maker in one.makers
        }

    @property
    def names(self) -> list[str]:
        """Every kind's name."""
        return sorted(kind for _, kind in (*self._extensions, *self._makers))

    def submission(self, place: str, manifest: Mapping[str, Any], wishes: Wishes) -> Submission:
        """The object as it is to be created. Raises InvalidManifest with the place."""
        kind = (manifest["apiVersion"].rpartition("/")[0], manifest["kind"])
        extension, maker = self._extensions.get(kind), self._makers.get(kind)
        try:
            if extension is not None:
                _demand_version(_versions(extension), manifest["apiVersion"])
                wished: dict[str, Any] = merged(manifest, {"metadata": _metadata(wishes)})
                return Submission(place, held_from_creation(extension, wished), extension)
            if maker is not None:
                _demand_version((maker.resource,), manifest["apiVersion"])
                marked = held_in_template(
                    maker.extension, maker.templates, manifest, _metadata(wishes)
                )
                return Submission(place, marked, maker.extension, maker)
        except InvalidInput as wrong:
            where = f"{place}: {wrong.path}" if wrong.path else place
            raise InvalidManifest(wrong.problem, where, wrong.hint) from None
        return Submission(place, copy.deepcopy(dict(manifest)), None)


def _versions(extension: JobExtension) -> Sequence[ResourceType]:
    return extension.versions if isinstance(extension, Versioned) else (extension.resource,)


def _demand_version(known: Sequence[ResourceType], written: str) -> None:
    versions = [one.api_version for one in known]
    if written not in versions:
        problem = f"{written} is no version of {known[0].kind} that can be queued"
        raise InvalidManifest(problem, "apiVersion", f"use {' or '.join(versions)}")


def _metadata(wishes: Wishes) -> dict[str, dict[str, str]]:
    """The metadata of a job by which they come true."""
    annotations = {
        QUEUE_NAME_ANNOTATION: wishes.queue,
        PRIORITY_ANNOTATION: "" if wishes.priority is None else str(wishes.priority),
    }
    labels = {QUOTA_LABELS[0]: wishes.quota}
    return {
        field: given
        for field, said in (("annotations", annotations), ("labels", labels))
        if (given := {name: value for name, value in said.items() if value})
    }


def unit_question(
    submission: Submission, extension: JobExtension, surroundings: Surroundings
) -> str:
    """The QueueUnit that the job side would make of the job now, as JSON."""
    now = time.time()
    manifest = copy.deepcopy(dict(submission.job))
    metadata = manifest["metadata"]
    if not metadata.get("name"):
        metadata["name"] = f"{metadata['generateName']}new"
    around = replace(surroundings, tree=None, by_namespace=True)
    unit = create_unit(view_job(extension, manifest), around, int(now * 1e6), certain=False)
    made = unit.manifest
    queue = section(metadata, "annotations").get(QUEUE_NAME_ANNOTATION)
    # Where quotas come from is the controller's to know, and with it which Queue is meant.
    made["spec"]["queue"] = queue if isinstance(queue, str) else ""
    made["metadata"]["annotations"][ENQUEUE_TIMESTAMP_ANNOTATION] = rfc3339_micro(int(now * 1e6))
    del made["metadata"]["ownerReferences"]
    question = orjson.dumps(made).decode()
    if len(question) > LONGEST_QUESTION and "resource" in made["spec"]:
        # The sum decides; only ResourceQuotas look at the pods behind it.
        del made["spec"]["podSet"]
        question = orjson.dumps(made).decode()
    return question


class Served:
    """Under which path the cluster serves kinds; every version of a group is asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, ResourceType]] = {}

    async def resource(self, submission: Submission) -> ResourceType:
        """Where the object is created. Raises InvalidManifest where its kind is not served."""
        version, kind = submission.manifest["apiVersion"], submission.manifest["kind"]
        if version not in self._known:
            self._known[version] = await self._listed(version)
        found = self._known[version].get(kind)
        if found is None:
            problem = f"this cluster serves no {kind} of {version}"
            raise InvalidManifest(problem, submission.place, "install its operator, or mend it")
        return found

    async def _listed(self, version: str) -> dict[str, ResourceType]:
        group, _, name = version.rpartition("/")
        try:
            answer = await self._client.raw("GET", f"/apis/{version}" if group else f"/api/{name}")
        except NotFound:
            return {}
        listed = entries(orjson.loads(answer.body), "resources")
        return {
            text(one, "kind"): ResourceType(
                group, name, text(one, "name"), text(one, "kind"), one.get("namespaced") is True
            )
            for one in listed
            if "/" not in text(one, "name")
        }


async def create(
    client: Client, resource: ResourceType, manifest: Mapping[str, Any], *, dry_run: bool
) -> Object:
    """The object as the server made it, or would have made it. Raises ApiError."""
    namespace = text(manifest, "metadata", "namespace")
    query = [("fieldManager", "kube-queue"), *([("dryRun", "All")] if dry_run else [])]
    path = resource.path(namespace)
    answer = await client.raw("POST", path, query=query, body=orjson.dumps(manifest))
    made: Object = orjson.loads(answer.body)
    return made


async def around(client: Client) -> Surroundings:
    """The objects that decide what jobs ask for, as far as the user may read them."""
    log_only_errors()
    watch = AroundWatch(
        client, lambda: None, rng=random.Random(0), page_size=500, by_namespace=True
    )
    running = asyncio.create_task(watch.run())
    try:
        await watch.settled()
        return watch.surroundings
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
