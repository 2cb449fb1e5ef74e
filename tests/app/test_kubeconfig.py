"""Who may write the kubeconfig of a local cluster."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import serve
from kube_queue.apiserver.tls import self_signed
from kube_queue.app.kubeconfig import demand_unused, write_kubeconfig


async def test_the_file_of_a_cluster_that_runs_is_not_taken_from_it(tmp_path: Path) -> None:
    now = time.time()  # noqa: TID251
    ours, theirs = self_signed(now), self_signed(now)
    server = ApiServer(clock=lambda: now, rng=random.Random(1))
    running = await serve(server, token="secret", tls=ours)
    path, stale = tmp_path / "kubeconfig", tmp_path / "stale"
    # Another cluster was told this port once; now a stranger serves there.
    for file, certificate in ((path, ours), (stale, theirs)):
        write_kubeconfig(
            file, server=running.url, token="secret", authority=certificate.certificate
        )
    with pytest.raises(InvalidSetting, match=f"{running.url}; stop that one, or name another"):
        await asyncio.to_thread(demand_unused, path)
    await asyncio.to_thread(demand_unused, stale)

    await running.close()
    await server.close()
    await asyncio.to_thread(demand_unused, path)


@pytest.mark.parametrize("text", [None, "", "[", "a: 1", "clusters: [{name: kube-queue-local}]"])
def test_a_file_that_no_local_cluster_wrote_is_nobodys(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    demand_unused(path)
