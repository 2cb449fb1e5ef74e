"""`kube-queue demo`: prints the walk-through as it happens."""

from __future__ import annotations

import asyncio

from kube_queue.app.demo import run_demo
from kube_queue.app.demo_steps import DemoFailed, Step
from kube_queue.cli.errors import Stop
from kube_queue.cli.explain import explanation_text
from kube_queue.cli.tables import columns


def run_demo_verb(seconds: float) -> None:
    """Play the walk-through on stdout. Raises Stop when it does not end as it should."""
    print("A quota of 4 cpu, and two TFJobs that ask for 3 cpu each.\n", flush=True)
    try:
        asyncio.run(run_demo(seconds, _show, _explain))
    except DemoFailed as failed:
        raise Stop(str(failed)) from failed
    print(
        "Both jobs ran, never more than the quota at a time. Then four pods that need one another"
    )
    print("waited together, although two of them had room, and started together.")
    print("Next: kube-queue local up, and your own kubectl beside it.")


def _show(step: Step) -> None:
    print(f"$ {step.command}")
    if step.header:
        print(columns(step.header, step.rows))
    else:
        for row in step.rows:
            print("\n".join(row))
    print(flush=True)


async def _explain(visibility: str) -> str:
    return await explanation_text(visibility, "default", "job2")
