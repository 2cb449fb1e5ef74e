"""Where answers about the queue come from.

First the leader's visibility endpoint: at the address in the kubeconfig's extensions (a local
cluster), else through the API server's service proxy under the user's own rights. Where neither
answers, the same memory is built here from list calls, and a note says so.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from kube_queue.api.errors import ApiError
from kube_queue.api.names import CONTROLLER_COMPONENT, QUEUE_NAMESPACE, SCHEDULER_COMPONENT
from kube_queue.cli.errors import REFUSED, Stop
from kube_queue.kube.credentials import Credentials, load_credentials

if TYPE_CHECKING:
    from kube_queue.kube.client import Client

PREFIX = "/visibility/v1"
SERVICES = f"/api/v1/namespaces/{QUEUE_NAMESPACE}/services"
SERVICE = f"{SERVICES}/http:{CONTROLLER_COMPONENT}:ops/proxy"
SCHEDULER_SERVICE = f"{SERVICES}/http:{SCHEDULER_COMPONENT}:ops/proxy"
PATIENCE_SECONDS = 1.5
"""How long a controller may take to answer about one job; after that it counts as not there."""
SECOND_PATIENCE_SECONDS = 0.3
"""The same when it did not answer at its own address before."""
LISTING_SECONDS = 30.0
"""The same for lists, which a controller that answers at all may need for many units."""
REBUILD_SECONDS = 30.0
LISTS = frozenset({"units", "queues", "quotas"})
Answer = dict[str, Any]


class Questions:
    """Asks one cluster. Raises Stop with the controller's own words when it refuses."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self.credentials: Credentials = load_credentials(kubeconfig, context)
        self._kubeconfig = kubeconfig
        self._context = context
        self._noted = False

    def ask(self, what: str, **query: str) -> Answer:
        """The JSON of this question: units, queues, quotas, explain or try."""
        return self._ask(self.credentials.visibility, SERVICE, what, query)

    def ask_scheduler(self, what: str, **query: str) -> Answer:
        """The JSON of this question to the co-scheduler: explain."""
        return self._ask(self.credentials.scheduler, SCHEDULER_SERVICE, what, query)

    def _ask(self, address: str, service: str, what: str, query: Mapping[str, str]) -> Answer:
        wanted = {name: value for name, value in query.items() if value}
        patience = PATIENCE_SECONDS
        if address:
            answer = ask_directly(address, what, wanted)
            if answer is not None:
                return answer
            # Both ways lead to the same process; a frozen one is waited for once.
            patience = SECOND_PATIENCE_SECONDS
        return asyncio.run(self._through_cluster(service, what, wanted, patience))

    async def _through_cluster(
        self, service: str, what: str, query: Mapping[str, str], patience: float
    ) -> Answer:
        from kube_queue.kube.connection import connect

        client = await connect(self._kubeconfig, self._context)
        try:
            answer = await _ask_through(client, service, what, query, patience)
            if answer is not None:
                return answer
            self._note("controller" if service == SERVICE else "co-scheduler")
            from kube_queue.app import rebuilt

            asked = (
                rebuilt.rebuilt_answer if service == SERVICE else rebuilt.rebuilt_placement_answer
            )
            async with asyncio.timeout(REBUILD_SECONDS):
                status, body = await asked(client, what, query)
            answer = _understood(status, body)
            assert answer is not None, "visibility speaks its own language"
            return answer
        except TimeoutError:
            raise Stop(f"the cluster did not list its objects in {REBUILD_SECONDS:.0f} s") from None
        finally:
            await client.close()

    def _note(self, who: str) -> None:
        if not self._noted:
            self._noted = True
            print(
                f"Note: no {who} answers; this is rebuilt from the cluster's objects, "
                "with default settings.",
                file=sys.stderr,
            )


async def _ask_through(
    client: Client, service: str, what: str, query: Mapping[str, str], patience: float
) -> Answer | None:
    """The answer through the API server's service proxy; None when nobody answers there.

    Raises ConnectionLost when the API server itself cannot be reached.
    """
    get = client.transport.request
    try:
        if what in LISTS:
            # A list may take its time, so whether anybody is there is asked first.
            async with asyncio.timeout(patience):
                alive = await get("GET", f"{service}/healthz", timeout=LISTING_SECONDS)
            if alive.body != b"ok":
                return None
            patience = LISTING_SECONDS
        async with asyncio.timeout(patience):
            path = f"{service}{PREFIX}/{what}"
            reply = await get("GET", path, query=tuple(query.items()), timeout=LISTING_SECONDS)
    except (ApiError, TimeoutError):
        return None
    return _understood(reply.status, reply.body)


def ask_directly(visibility: str, what: str, query: Mapping[str, str]) -> Answer | None:
    """The answer of the controller at this address; None when it is not there."""
    # Loopback: a proxy of the environment has no business here.
    opener = build_opener(ProxyHandler({}))
    base = visibility.removesuffix("/").removesuffix(PREFIX)
    address = f"{base}{PREFIX}/{what}" + (f"?{urlencode(query)}" if query else "")
    patience = PATIENCE_SECONDS
    try:
        if what in LISTS:
            # A list may take its time, so whether anybody is there is asked first.
            with opener.open(f"{base}/healthz", timeout=patience):
                patience = LISTING_SECONDS
        with opener.open(address, timeout=patience) as reply:
            return _understood(reply.status, reply.read())
    except HTTPError as refused:
        return _understood(refused.code, refused.read())
    except (URLError, OSError):
        return None


def _understood(status: int, body: bytes) -> Answer | None:
    """The answer; None when somebody else than the controller spoke. Raises Stop if refused."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    if not isinstance(answer, dict) or answer.get("kind") == "Status":
        return None
    if status != 200:
        raise Stop(str(answer.get("error", f"the controller answered {status}")), REFUSED)
    return answer
