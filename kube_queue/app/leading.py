"""What every process that takes part in an election and talks to one API server has in common."""

from __future__ import annotations

import random
import socket

from kube_queue.config import ClientSettings, LeaderSettings
from kube_queue.kube.client import Client
from kube_queue.kube.limiter import LimitedTransport


def limited(client: Client, settings: ClientSettings) -> Client:
    """The client, or one on the same connection that keeps to the settings' qps and burst."""
    if not settings.qps:
        return client
    burst = settings.burst or max(1, int(2 * settings.qps))
    return Client(LimitedTransport(client.transport, qps=settings.qps, burst=burst))


def lease_identity(leader: LeaderSettings, rng: random.Random) -> str:
    """The name of this process in a Lease: as set, else host name and a random part."""
    return leader.identity or f"{socket.gethostname()}_{rng.getrandbits(48):012x}"
