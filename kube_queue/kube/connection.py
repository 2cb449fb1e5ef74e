"""A client of the cluster that a kubeconfig, or the pod this runs in, names."""

from __future__ import annotations

from kube_queue.kube.client import Client
from kube_queue.kube.credentials import load_credentials
from kube_queue.kube.limiter import LimitedTransport
from kube_queue.kube.transport import HttpTransport


async def connect(
    kubeconfig: str | None = None,
    context: str | None = None,
    user_agent: str = "kube-queue",
    *,
    qps: float = 0.0,
    burst: int = 0,
) -> Client:
    """A client of the cluster that `load_credentials` finds; close it when done.

    `qps` above 0 limits its requests on our side. Nothing is sent yet. Raises InvalidSetting.
    """
    http = HttpTransport(load_credentials(kubeconfig, context), user_agent=user_agent)
    if qps <= 0:
        return Client(http)
    return Client(LimitedTransport(http, qps=qps, burst=burst or max(1, int(qps))))
