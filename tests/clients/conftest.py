"""An embedded server as clients meet it: on a socket, with TLS and a token, in a kubeconfig."""

import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import serve
from kube_queue.apiserver.messages import Request
from kube_queue.apiserver.tls import self_signed

TOKEN = "a-token-for-tests"
NAMESPACE = "clients"


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    """The kubeconfig of a fresh server, which has the namespace `clients`."""
    # Clients judge certificates and leases by the wall's clock.
    now = time.time  # noqa: TID251
    server = ApiServer(clock=now, rng=random.Random(1))
    tls = self_signed(now())
    front = await serve(server, token=TOKEN, tls=tls)
    body = b'{"metadata":{"name":"clients"}}'
    made = await server.handle(Request("POST", "/api/v1/namespaces", body=body))
    assert made.status == 201
    authority = tmp_path / "certificate.pem"
    authority.write_text(tls.certificate)
    cluster = {"server": front.url, "certificate-authority": str(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "local", "user": {"token": TOKEN}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local"}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    await front.close()
    await server.close()
