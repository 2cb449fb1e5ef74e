"""The server as one object: `await ApiServer(clock=..., rng=...).handle(request)`.

Holds: ApiServer; re-exports Request and Response.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import orjson

from kube_queue.apiserver import (
    applying,
    changing,
    creating,
    deleting,
    discovery,
    openapi,
    options,
    reading,
    routes,
    subresources,
)
from kube_queue.apiserver.budgets import Budgets
from kube_queue.apiserver.builtin import load_kinds
from kube_queue.apiserver.commits import Commits
from kube_queue.apiserver.conversion import SELECTABLE, extractor, home
from kube_queue.apiserver.crds import CustomKinds
from kube_queue.apiserver.garbage import Garbage
from kube_queue.apiserver.journal import Journal
from kube_queue.apiserver.lifecycle import Lifecycle
from kube_queue.apiserver.messages import Request, Response
from kube_queue.apiserver.quota import Quotas
from kube_queue.apiserver.rules.limits import keep_bounds
from kube_queue.apiserver.start import populate, recall
from kube_queue.apiserver.status import StatusError, method_not_allowed, no_such_path
from kube_queue.apiserver.store import WINDOW, Collection, Event, Store
from kube_queue.apiserver.watch import WatchStream
from kube_queue.apiserver.world import Call, World

__all__ = ["ApiServer", "Request", "Response"]

_READING = ("GET", "HEAD")
_HEALTH = ("/healthz", "/readyz", "/livez")
_VERBS = {
    "GET": ("get", reading.get),
    "PUT": ("update", changing.update),
    "PATCH": ("patch", applying.patch),
    "DELETE": ("delete", deleting.delete),
}


class ApiServer:
    """A Kubernetes API server in memory.

    `clock` gives seconds since the epoch; `rng` makes uids and name suffixes; `window` is how many
    events of a collection are kept for watches that resume. With a journal, all is there again that
    it holds, and nobody learns of a change before it is on disk; then it takes a running loop.
    Raises JournalError when the journal is damaged. `close` closes it too.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        window: int = WINDOW,
        journal: Journal | None = None,
    ) -> None:
        store = Store(window=window)
        store.rv = 0 if journal is None else journal.rv
        self._world = World(store, clock, rng)
        for kind in load_kinds():
            paths = SELECTABLE.get((kind.group, kind.plural), {})
            self._world.serve(replace(kind, selectable=tuple(paths)))
            if home(kind) == (kind.group, kind.plural) and "list" in kind.verbs:
                store.add_collection(kind.group, kind.plural, extractor(paths))
        self._custom = CustomKinds(self._world)
        quotas, budgets = Quotas(self._world), Budgets(self._world)
        self._world.gates += [partial(keep_bounds, self._world), quotas.admit]
        self._world.guards.append(budgets.guard)
        self._counting = (quotas, budgets)
        self._followers = (
            Garbage(self._world),
            Lifecycle(self._world),
            self._custom,
            *self._counting,
        )
        self._commits: Commits | None = None
        if journal is None:
            populate(self._world)
        else:
            self._commits = self._open(journal)
        store.listeners += [follower.seen for follower in self._followers]

    def _open(self, journal: Journal) -> Commits:
        store = self._world.store
        recall(self._world, journal, self._custom.seen)
        commits = Commits(store, journal, step_back=self._step_back, resume=self._resume)
        self._resume()
        return commits

    def _step_back(self, collection: Collection, event: Event) -> None:
        for counting in self._counting:
            counting.seen(collection, event)
        self._world.forget_work()
        self._custom.seen(collection, event)

    def _resume(self) -> None:
        if not self._world.store.rv:
            populate(self._world)
        for follower in self._followers:
            follower.resume()

    async def handle(self, request: Request) -> Response:
        """The answer to the request; every refusal is a Status."""
        if self._commits is None:
            return self._respond(request)
        while True:
            response = self._respond(request)
            try:
                # A reader, too, must not learn of what a crash could still undo.
                await self._commits.settled()
            except BaseException as problem:
                if isinstance(response.body, WatchStream):
                    await response.body.aclose()
                if not isinstance(problem, StatusError):
                    raise
                if request.method not in _READING:
                    return _refused(problem)
            else:
                return response

    def _respond(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except StatusError as refusal:
            return _refused(refusal)

    async def close(self) -> None:
        """Every watch ends, nothing runs on, and the journal is closed."""
        self._world.close()
        if self._commits is not None:
            await self._commits.close()

    def _answer(self, request: Request) -> Response:
        route = routes.parse(request.path, self._world.kinds)
        if route is not None:
            return self._resource(request, route)
        if request.path.rstrip("/") in _HEALTH or request.path.startswith(
            tuple(f"{path}/" for path in _HEALTH)
        ):
            return _health(request)
        return self._document(request)

    def _document(self, request: Request) -> Response:
        kinds = self._world.kinds
        accept = request.headers.get("accept", "")
        found = discovery.respond(request.path, accept, kinds)
        headers: dict[str, str] = {}
        if found is None:
            document = openapi.respond(request.path, request.query, kinds, accept)
            if document is None:
                raise no_such_path(request.path)
            status, content_type, content, headers = document
        else:
            status, content_type, content = found
        if request.method not in _READING:
            raise method_not_allowed()
        if headers.get("ETag") and request.headers.get("if-none-match") == headers["ETag"]:
            return Response(304, headers, b"")
        return Response(status, {"Content-Type": content_type, **headers}, content)

    def _resource(self, request: Request, route: routes.Route) -> Response:
        response = self._served(request, route)
        if not route.kind.deprecation:
            return response
        return replace(response, warnings=(route.kind.deprecation, *response.warnings))

    def _served(self, request: Request, route: routes.Route) -> Response:
        world, kind = self._world, route.kind
        if "list" not in kind.verbs:
            return subresources.create_only(world, request, route)
        call = Call(
            request=request,
            query=options.flat(request),
            kind=kind,
            collection=world.store.collection(*home(kind)),
            namespace=route.namespace,
            name=route.name,
            subresource=route.subresource,
        )
        if route.subresource and route.subresource != "status":
            return subresources.handle(world, call)
        if route.subresource and "status" not in kind.subresources:
            raise subresources.not_served(call)
        if route.name:
            return self._object(call)
        return self._collection(call)

    def _object(self, call: Call) -> Response:
        method = call.request.method
        verb, act = _VERBS.get("GET" if method == "HEAD" else method, ("", None))
        if act is None or verb not in call.kind.verbs:
            raise method_not_allowed()
        if verb == "get" and options.list_options(call.query).watch:
            return reading.watch_one(self._world, call)
        if verb == "delete" and call.subresource:
            raise method_not_allowed()
        return act(self._world, call)

    def _collection(self, call: Call) -> Response:
        method, kind = call.request.method, call.kind
        everywhere = kind.namespaced and not call.namespace
        if method in _READING:
            return reading.list_or_watch(self._world, call)
        if method == "POST" and not everywhere and "create" in kind.verbs:
            return creating.create(self._world, call)
        if method == "DELETE" and not everywhere and "deletecollection" in kind.verbs:
            return deleting.delete_collection(self._world, call)
        raise method_not_allowed()


def _health(request: Request) -> Response:
    told = "ok"
    if any(key == "verbose" for key, _ in request.query):
        told = f"[+]ping ok\n{request.path.split('/')[1]} check passed\n"
    return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, told.encode())


def _refused(refusal: StatusError) -> Response:
    headers = {"Content-Type": "application/json", **refusal.headers}
    return Response(refusal.code, headers, orjson.dumps(refusal.body))
