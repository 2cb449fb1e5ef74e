"""`kube-queue local ...`: the verbs behind a cluster on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from kube_queue.app.child import announce, run_loop, until_stopped
from kube_queue.app.kubeconfig import demand_unused, demand_writable
from kube_queue.app.local import (
    LOCAL_EXTENSIONS,
    LocalCluster,
    LocalOptions,
    run_api_server,
    run_local,
)
from kube_queue.app.processes import simulator_process
from kube_queue.app.supervisor import ChildFailed
from kube_queue.cli.errors import USAGE, Stop
from kube_queue.config import load_settings
from kube_queue.jobframework import load_extensions
from kube_queue.simulator.operators import OPERATORS
from kube_queue.simulator.profile import profile_named
from kube_queue.simulator.run import EVERY_PART

SHARED_FLAGS = ("--queue-group-plugin",)
"""Settings that both processes have to agree on."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Which processes of ours a local cluster has besides the controller."""

    split: bool = False
    """The job side is one of its own."""
    scheduler: bool = True


def default_kubeconfig() -> Path:
    """Where `local up` writes the kubeconfig when nothing else is said."""
    return platformdirs.user_data_path("kube-queue") / "kubeconfig"


def up_verb(
    *,
    kubeconfig: Path | None,
    port: int,
    nodes: int | None,
    profile: str,
    enabled_extensions: str | None,
    flags: Mapping[str, str],
    processes: Processes,
    control_plane: str,
) -> None:
    """Run a local cluster until Ctrl-C. Raises Stop, InvalidSetting."""
    start = _starter(control_plane)
    flags = dict(flags)
    config, data = flags.pop("--config", None), flags.pop("--data-dir", None)
    late = flags.pop("--late", None)
    for flag, value in (("--data-dir", data), ("--late", late)):
        if value is not None and control_plane != "embedded":
            raise Stop(f"{flag} is for the embedded control plane only", USAGE)
    data_dir = None if data is None else Path(data).absolute()
    shared = {name: flags.pop(name) for name in SHARED_FLAGS if name in flags}
    # Everything that can be wrong on this command line is said before a process starts.
    extensions = enabled_extensions or LOCAL_EXTENSIONS
    settings = load_settings(
        config, os.environ, {**flags, **shared, "--enabled-extensions": extensions}
    )
    for sentence in settings.warnings():
        _say(f"Warning: {sentence}")
    load_extensions(extensions)
    profile_named(profile)
    path = (kubeconfig or default_kubeconfig()).absolute()
    demand_writable(path)
    demand_unused(path)
    options = LocalOptions(
        kubeconfig=path,
        port=port,
        nodes=nodes,
        profile=profile,
        controller_flags=tuple(word for pair in flags.items() for word in pair),
        shared_flags=tuple(word for pair in shared.items() for word in pair),
        enabled_extensions=extensions,
        split=processes.split,
        scheduler=processes.scheduler,
        config=None if config is None else Path(config),
        data_dir=data_dir,
        late=None if late is None else int(late),
    )

    def up(cluster: LocalCluster) -> None:
        _greet(cluster, data_dir)

    try:
        run_loop(until_stopped(start(options, say=_say, up=up), watch_stdin=False))
    except ChildFailed as failed:
        raise Stop(str(failed)) from failed


def _starter(control_plane: str) -> Callable[..., Coroutine[Any, Any, None]]:
    if control_plane == "embedded":
        return run_local
    if control_plane != "kubernetes":
        problem = f"--control-plane: {control_plane!r} is not known; use embedded or kubernetes"
        raise Stop(problem, USAGE)
    # Only this control plane needs the builder of Go programs.
    from kube_queue.app.kubernetes import run_kubernetes

    return run_kubernetes


def build_verb(program: str) -> None:
    """Find or build the program, or all of them, and print the paths. Raises Stop."""
    from kube_queue.app.build import build_programs

    try:
        for path in build_programs(program, _say):
            print(path)
    except ChildFailed as failed:
        raise Stop(str(failed)) from failed


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _greet(cluster: LocalCluster, data_dir: Path | None) -> None:
    left = "go with it" if data_dir is None else f"stay in {data_dir}"
    print(
        f"The cluster serves at {cluster.server}. In another terminal:\n\n"
        f"  export KUBECONFIG={cluster.kubeconfig}\n"
        "  kubectl get nodes\n\n"
        f"Ctrl-C stops it; its objects {left}.",
        flush=True,
    )


def api_server_verb(
    *, port: int, plain_port: int, token_file: Path, data_dir: Path | None, late: int | None
) -> None:
    """Run the embedded API server as a child process."""
    work = run_api_server(
        port=port,
        plain_port=plain_port,
        token_file=token_file,
        data_dir=data_dir,
        late=late,
        serving=announce,
    )
    run_loop(until_stopped(work, watch_stdin=True))


def simulator_verb(
    kubeconfig: str | None,
    context: str | None,
    *,
    profile: str,
    nodes: int | None,
    operators_only: bool,
    child: bool,
) -> None:
    """Run the simulator, or its operators only, until it is told to stop."""
    parts = frozenset(OPERATORS) if operators_only else EVERY_PART
    simulated = profile_named(profile, nodes=nodes)
    simulator_process(simulated, kubeconfig, context, parts=parts, child=child)
