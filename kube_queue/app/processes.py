"""Start one of the long-running processes from its settings."""

from __future__ import annotations

import random
import secrets
import sys
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from kube_queue.app.child import announce, run_loop, until_stopped
from kube_queue.app.controller import run_controller
from kube_queue.app.job_extensions import run_job_extensions
from kube_queue.kube.connection import connect
from kube_queue.observability.log import configure_log
from kube_queue.simulator.run import run_simulator

if TYPE_CHECKING:
    from kube_queue.config import Settings
    from kube_queue.simulator.profile import Profile


def controller_process(
    settings: Settings,
    kubeconfig: str | None,
    context: str | None,
    *,
    with_jobs: bool,
    child: bool,
) -> None:
    """Run the queue controller until it is told to stop."""

    async def main() -> None:
        client = await connect(kubeconfig, context)
        try:
            work = run_controller(
                client,
                settings,
                clock=time.time,
                rng=random.Random(secrets.randbits(64)),
                with_jobs=with_jobs,
                ready=lambda url: announce({"visibility": url}) if child else None,
            )
            await until_stopped(work, watch_stdin=child)
        finally:
            await client.close()

    _run(settings, main())


def job_extensions_process(
    settings: Settings, kubeconfig: str | None, context: str | None, *, child: bool
) -> None:
    """Run the job side until it is told to stop."""

    async def main() -> None:
        client = await connect(kubeconfig, context)
        try:
            work = run_job_extensions(
                client,
                settings,
                clock=time.time,
                rng=random.Random(secrets.randbits(64)),
                ready=lambda: announce({}) if child else None,
            )
            await until_stopped(work, watch_stdin=child)
        finally:
            await client.close()

    _run(settings, main())


def scheduler_process(
    settings: Settings, kubeconfig: str | None, context: str | None, *, child: bool
) -> None:
    """Run the co-scheduler until it is told to stop."""
    # Its numbers are worked out in arrays; no other process has to load what does that.
    from kube_queue.app.scheduler import run_scheduler

    async def main() -> None:
        client = await connect(kubeconfig, context)
        try:
            work = run_scheduler(
                client,
                settings,
                clock=time.time,
                rng=random.Random(secrets.randbits(64)),
                ready=lambda url: announce({"scheduler": url}) if child else None,
            )
            await until_stopped(work, watch_stdin=child)
        finally:
            await client.close()

    _run(settings, main())


def simulator_process(
    profile: Profile,
    kubeconfig: str | None,
    context: str | None,
    *,
    parts: frozenset[str],
    child: bool,
) -> None:
    """Play these parts of a cluster until told to stop."""

    async def main() -> None:
        client = await connect(kubeconfig, context)
        try:
            if child:
                announce({})
            rng = random.Random(secrets.randbits(64))
            work = run_simulator(client, profile, clock=time.time, rng=rng, parts=parts)
            await until_stopped(work, watch_stdin=child)
        finally:
            await client.close()

    configure_log(level="info", form="json", clock=time.time)
    run_loop(main())


def _run(settings: Settings, main: Coroutine[Any, Any, None]) -> None:
    configure_log(level=settings.log.level, form=settings.log.format, clock=time.time)
    for sentence in settings.warnings():
        print(f"Warning: {sentence}", file=sys.stderr)
    run_loop(main)
