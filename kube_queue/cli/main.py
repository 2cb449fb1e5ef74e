"""The verbs of `kube-queue` and their flags; their work is in modules loaded when they run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kube_queue.cli import changing, roles
from kube_queue.cli.errors import run
from kube_queue.cli.options import Context, Kubeconfig, Namespace

app = typer.Typer(
    name="kube-queue",
    help="A job queue for Kubernetes.",
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
local = typer.Typer(
    help="A cluster of its own on this machine.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.add_typer(local, name="local")
roles.register(app)

Profile = Annotated[str, typer.Option("--profile", help="Named set of simulated nodes.")]
Nodes = Annotated[
    int | None, typer.Option("--nodes", min=1, max=10_000, help="Nodes; default: the profile's.")
]


def _finish(code: int) -> None:
    raise typer.Exit(code)


@app.command(short_help="Play two jobs under a quota, then a gang.")
def demo(
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=300, help="How long each job's pods run.")
    ] = 5.0,
) -> None:
    """Two jobs of 3 cpu under a quota of 4, then a gang that starts whole: in one process, in
    seconds."""

    def verb() -> None:
        from kube_queue.cli.demo import run_demo_verb

        run_demo_verb(seconds)

    _finish(run(verb))


@local.command()
def up(
    config: Annotated[
        str | None, typer.Option("--config", help="Settings file (YAML) of the processes.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="Where the kubeconfig is written.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="API server port; 0: any free one.")
    ] = 0,
    data_dir: Annotated[
        str | None,
        typer.Option("--data-dir", help="Folder that keeps the objects; default: they are lost."),
    ] = None,
    late: Annotated[
        int | None,
        typer.Option("--late", help="Seed by which answers and watches are late, for tests."),
    ] = None,
    nodes: Nodes = None,
    profile: Profile = "default",
    enabled_extensions: Annotated[
        str | None,
        typer.Option("--enabled-extensions", help="Job types to queue; default: all there are."),
    ] = None,
    queue_group_plugin: roles.QueueGroupPlugin = None,
    oversellrate: Annotated[
        str | None, typer.Option("--oversellrate", help="Multiplies the quotas' limits.")
    ] = None,
    tree_validation: Annotated[
        str | None, typer.Option("--tree-validation", help="warn or strict.")
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Run the job side as a process of its own.")
    ] = False,
    scheduler: Annotated[
        bool, typer.Option("--scheduler/--no-scheduler", help="Run the co-scheduler too.")
    ] = True,
    control_plane: Annotated[
        str,
        typer.Option("--control-plane", help="embedded, or kubernetes: built from Go modules."),
    ] = "embedded",
) -> None:
    """Start a whole cluster with kube-queue in it; Ctrl-C stops it.

    The controller's environment variables work here too: StrictPriority=true kube-queue local up.
    """

    def verb() -> None:
        from kube_queue.cli.local import Processes, up_verb

        flags = {
            "--config": config,
            "--data-dir": data_dir,
            "--late": None if late is None else str(late),
            "--queue-group-plugin": queue_group_plugin,
            "--oversellrate": oversellrate,
            "--tree-validation": tree_validation,
        }
        up_verb(
            kubeconfig=kubeconfig,
            port=port,
            nodes=nodes,
            profile=profile,
            enabled_extensions=enabled_extensions,
            flags={name: value for name, value in flags.items() if value is not None},
            processes=Processes(split, scheduler),
            control_plane=control_plane,
        )

    _finish(run(verb))


@local.command(short_help="Build a genuine Kubernetes ahead of its first use.")
def build(
    program: Annotated[
        str, typer.Argument(help="One program, or all that a real Kubernetes needs.")
    ] = "all",
) -> None:
    """Build a genuine Kubernetes from Go modules into the user's cache, ahead of its first use."""

    def verb() -> None:
        from kube_queue.cli.local import build_verb

        build_verb(program)

    _finish(run(verb))


@local.command(name="api-server", hidden=True)
def api_server(
    token_file: Annotated[Path, typer.Option("--token-file")],
    port: Annotated[int, typer.Option("--port")] = 0,
    plain_port: Annotated[int, typer.Option("--plain-port")] = 0,
    data_dir: Annotated[Path | None, typer.Option("--data-dir")] = None,
    late: Annotated[int | None, typer.Option("--late")] = None,
) -> None:
    """Serve the embedded API server until stdin closes."""

    def verb() -> None:
        from kube_queue.cli.local import api_server_verb

        api_server_verb(
            port=port,
            plain_port=plain_port,
            token_file=token_file,
            data_dir=data_dir,
            late=late,
        )

    _finish(run(verb))


@local.command(name="simulator", hidden=True)
def simulator(
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    profile: Profile = "default",
    nodes: Nodes = None,
    operators_only: Annotated[
        bool, typer.Option("--operators-only", help="Nodes, scheduler and Jobs are real.")
    ] = False,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
) -> None:
    """Play nodes, a scheduler and job operators on a cluster."""

    def verb() -> None:
        from kube_queue.cli.local import simulator_verb

        simulator_verb(
            kubeconfig,
            context,
            profile=profile,
            nodes=nodes,
            operators_only=operators_only,
            child=child,
        )

    _finish(run(verb))


@app.command(short_help="Show units, queues or quotas.")
def get(
    what: Annotated[str, typer.Argument(help="units, queues or quotas", metavar="WHAT")],
    name: Annotated[str | None, typer.Argument(help="Only this one.", metavar="NAME")] = None,
    namespace: Namespace = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="wide, yaml or json.")] = "",
    selector: Annotated[str, typer.Option("--selector", "-l", help="Label selector.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Print what changes.")] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show waiting and running units in order, queues, or quotas."""

    def verb() -> None:
        from kube_queue.cli.get import Wanted, get_verb

        wanted = Wanted(what, name, namespace, all_namespaces, output, selector, watch)
        get_verb(wanted, kubeconfig, context)

    _finish(run(verb))


@app.command(short_help="Say why a job, pod or gang waits.")
def explain(
    job: Annotated[
        str,
        typer.Argument(help="NAME of a job, unit, pod or gang, or KIND/NAME", metavar="JOB"),
    ],
    namespace: Namespace = None,
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json.")] = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Say why a job waits: its quota path, what is short, its position, what it waits for.

    Of a pod or gang of the co-scheduler (pod/NAME, gang/NAME): the gang's minimum, its topology
    domains one by one, and for which reasons how many nodes do not take it.
    """

    def verb() -> None:
        from kube_queue.cli.explain import explain_verb

        explain_verb(job, namespace, output, kubeconfig, context)

    _finish(run(verb))


changing.register(app)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(f"kube-queue {installed('kube-queue')}")


def main() -> int:
    """Run the command line; the exit code is returned, usage errors exit with 2."""
    app(changing.spelled_out(sys.argv[1:]), prog_name="kube-queue")
    return 0
