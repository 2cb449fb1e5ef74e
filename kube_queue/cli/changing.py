"""The verbs that change something: their flags. The work is in modules loaded when they run."""

from __future__ import annotations

from typing import Annotated

import typer

from kube_queue.cli.errors import run
from kube_queue.cli.options import Context, Job, Kubeconfig, Namespace, QueueName

DRY_RUN = "--dry-run"
TO_QUEUE = Annotated[str, typer.Option("--queue", help="Name of the Queue it is to wait in.")]


def register(app: typer.Typer) -> None:
    """The app has the verbs `submit`, `hold`, `resume`, `move`, `priority`, `stop`, `start`."""
    for verb, words in (
        (submit, "Create jobs so that they wait in a queue."),
        (hold, "Keep a job from running."),
        (resume, "Let a job that is held wait again."),
        (move, "Put a waiting job into another Queue."),
        (stop, "Stop a Queue, and with --drain its jobs."),
        (start, "Start a Queue that was stopped."),
    ):
        app.command(name=verb.__name__, short_help=words)(verb)
    # What looks like an option and is none of this verb is its number: -3.
    numbers = {"ignore_unknown_options": True}
    words = "Change a job's priority in its queue."
    app.command(name="priority", short_help=words, context_settings=numbers)(priority)


def spelled_out(arguments: list[str]) -> list[str]:
    """The arguments with `--dry-run` alone written as `--dry-run=client`."""
    return [f"{DRY_RUN}=client" if one == DRY_RUN else one for one in arguments]


def submit(
    file: Annotated[
        str, typer.Option("--filename", "-f", help="YAML file, directory, or - for stdin.")
    ],
    namespace: Namespace = None,
    queue: Annotated[str, typer.Option("--queue", help="Queue to wait in.")] = "",
    quota: Annotated[str, typer.Option("--quota", help="Quota, by the name of its node.")] = "",
    priority: Annotated[
        int | None, typer.Option("--priority", min=-(2**31), max=2**31 - 1, help="Priority.")
    ] = None,
    dry_run: Annotated[
        str,
        typer.Option(
            DRY_RUN,
            metavar="[=client|server]",
            help="Create nothing; say whether it would run now, and why not.",
        ),
    ] = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Create jobs so that they wait in a queue: each is marked as held in its kind's own way."""

    def verb() -> None:
        from kube_queue.cli.submit import Wanted, submit_verb

        wanted = Wanted(file, namespace, queue, quota, priority, dry_run)
        submit_verb(wanted, kubeconfig, context)

    raise typer.Exit(run(verb))


def hold(
    job: Job, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None
) -> None:
    """Keep a job from running until it is resumed; one that runs is stopped and waits."""

    def verb() -> None:
        from kube_queue.cli.units import hold_verb

        hold_verb(job, namespace, kubeconfig, context)

    raise typer.Exit(run(verb))


def resume(
    job: Job, namespace: Namespace = None, kubeconfig: Kubeconfig = None, context: Context = None
) -> None:
    """Let a job that is held wait for its turn again."""

    def verb() -> None:
        from kube_queue.cli.units import resume_verb

        resume_verb(job, namespace, kubeconfig, context)

    raise typer.Exit(run(verb))


def move(
    job: Job,
    queue: TO_QUEUE,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Put a waiting job into another Queue."""

    def verb() -> None:
        from kube_queue.cli.units import move_verb

        move_verb(job, queue, namespace, kubeconfig, context)

    raise typer.Exit(run(verb))


def priority(
    job: Job,
    value: Annotated[
        int, typer.Argument(metavar="N", min=-(2**31), max=2**31 - 1, help="Larger goes first.")
    ],
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Change a job's priority in its queue."""

    def verb() -> None:
        from kube_queue.cli.units import priority_verb

        priority_verb(job, value, namespace, kubeconfig, context)

    raise typer.Exit(run(verb))


def stop(
    queue: QueueName,
    drain: Annotated[
        bool, typer.Option("--drain", help="Also evict the jobs it has admitted.")
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Stop a Queue: it admits nothing until it is started again."""

    def verb() -> None:
        from kube_queue.cli.stopping import stop_verb

        stop_verb(queue, drain, kubeconfig, context)

    raise typer.Exit(run(verb))


def start(queue: QueueName, kubeconfig: Kubeconfig = None, context: Context = None) -> None:
    """Start a Queue that was stopped."""

    def verb() -> None:
        from kube_queue.cli.stopping import start_verb

        start_verb(queue, kubeconfig, context)

    raise typer.Exit(run(verb))
