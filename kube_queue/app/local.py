"""`kube-queue local up`: the whole system on this machine, as processes under one supervisor."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube_queue.api.errors import InvalidSetting
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import serve
from kube_queue.apiserver.tls import self_signed
from kube_queue.app.install import install
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.app.supervisor import Child, ChildFailed, Supervisor
from kube_queue.kube.connection import connect

LOCAL_EXTENSIONS = (
    "tfjob,pytorchjob,job,sparkapp,rayjob,mpiv1,workflow,xgboostjob,paddlejob,jaxjob,mxjob,"
    "jobset,trainjob,raycluster,appwrapper"
)
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """What `local up` was asked for."""

    kubeconfig: Path
    port: int = 0
    nodes: int | None = None
    profile: str = "default"
    controller_flags: tuple[str, ...] = ()
    """Passed on to `kube-queue controller` as they are."""
    shared_flags: tuple[str, ...] = ()
    """Passed on to the controller and to the job side."""
    enabled_extensions: str = LOCAL_EXTENSIONS
    split: bool = False
    """True: the job side is a process of its own, as in production."""
    environment: Mapping[str, str] = field(default_factory=dict)
    config: Path | None = None
    """A settings file that both processes of ours read."""

    @property
    def common_flags(self) -> Words:
        """What both processes of ours are told."""
        config = () if self.config is None else ("--config", str(self.config.absolute()))
        return (*config, *self.shared_flags)


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A cluster that serves: where, and which processes it is made of."""

    kubeconfig: Path
    server: str
    visibility: str
    logs: Path
    pids: Mapping[str, int]


async def run_local(
    options: LocalOptions,
    *,
    say: Callable[[str], None],
    up: Callable[[LocalCluster], None],
) -> None:
    """Run the cluster until cancelled; `up` is called once when everything serves.

    Raises ChildFailed, with one sentence, when a part does not start or the API server ends. The
    token and the logs live in a directory of their own that goes with the cluster, except when it
    failed: then the logs stay.
    """
    directory = Path(tempfile.mkdtemp(prefix="kube-queue-local-"))
    supervisor = Supervisor(directory, say)
    try:
        up(await _start(options, supervisor, directory))
        await supervisor.wait()
    except ChildFailed:
        await supervisor.stop()
        raise
    except BaseException:
        await supervisor.stop()
        shutil.rmtree(directory, ignore_errors=True)
        raise


async def _start(options: LocalOptions, supervisor: Supervisor, directory: Path) -> LocalCluster:
    token = secrets.token_urlsafe(24)
    token_file = directory / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(token, encoding="utf-8")
    # Children read a kubeconfig of their own: the user's file may be edited, merged or deleted.
    private = directory / "kubeconfig"
    facts = await supervisor.start(
        _child(
            options,
            "api-server",
            ("local", "api-server", "--port", str(options.port), "--token-file", str(token_file)),
            vital=True,
        )
    )
    # Our own processes speak plain HTTP on loopback: encrypting it would cost them a third.
    write_kubeconfig(private, server=facts["plain"], token=token)
    server, authority = facts["secure"], facts["authority"]
    client = await connect(kubeconfig=str(private))
    try:
        await install(client, operators=True)
    finally:
        await client.close()
    visibility = ""
    for child in controllers(options, str(private)):
        facts = await supervisor.start(child)
        visibility = facts.get("visibility", visibility)
    write_kubeconfig(
        options.kubeconfig,
        server=server,
        token=token,
        authority=authority,
        visibility=visibility,
    )
    return LocalCluster(options.kubeconfig, server, visibility, directory, supervisor.pids())


def controllers(options: LocalOptions, kubeconfig: str) -> list[Child]:
    """The simulator and the processes of ours, in the order they are started."""
    common = ("--kubeconfig", kubeconfig, "--child")
    jobs = ("--enabled-extensions", options.enabled_extensions)
    # A port chosen once: a restarted controller answers where the kubeconfig says.
    queue: Words = ("controller", *common, *options.common_flags, "--port", str(_free_port()))
    queue += ("--leader-elect-identity", "local-controller")
    simulator: Words = ("local", "simulator", *common, "--profile", options.profile)
    if options.nodes is not None:
        simulator += ("--nodes", str(options.nodes))
    children = [_child(options, "simulator", simulator)]
    if options.split:
        side: Words = ("job-extensions", *common, *options.common_flags, "--port", "0", *jobs)
        side += ("--leader-elect-identity", "local-job-extensions")
        children.append(_child(options, "controller", (*queue, *options.controller_flags)))
        children.append(_child(options, "job-extensions", side))
    else:
        flags = (*queue, "--with-job-extensions", *jobs, *options.controller_flags)
        children.append(_child(options, "controller", flags))
    return children


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _child(
    options: LocalOptions, name: str, arguments: tuple[str, ...], *, vital: bool = False
) -> Child:
    command = (sys.executable, "-m", "kube_queue", *arguments)
    return Child(name, command, options.environment, vital=vital)


async def run_api_server(
    *, port: int, token_file: Path, serving: Callable[[dict[str, str]], None]
) -> None:
    """Serve the embedded API server on loopback until cancelled.

    `serving` is told the addresses: `secure` (TLS, on `port`; for kubectl, which sends a token
    only over TLS), its certificate `authority`, and `plain`. Both demand the token.
    Raises InvalidSetting when the port cannot be had.
    """
    token = token_file.read_text(encoding="utf-8").strip()
    server = ApiServer(clock=time.time, rng=random.Random(secrets.randbits(64)))
    certificate = self_signed(time.time())
    plain = await serve(server, token=token)
    try:
        secure = await serve(server, port=port, token=token, tls=certificate)
    except OSError as problem:
        await plain.close()
        raise InvalidSetting(
            f"cannot be had: {problem.strerror or problem}", "--port", "choose another, or 0"
        ) from problem
    try:
        authority = certificate.certificate
        serving({"plain": plain.url, "secure": secure.url, "authority": authority})
        await asyncio.get_running_loop().create_future()
    finally:
        await secure.close()
        await plain.close()
        await server.close()
