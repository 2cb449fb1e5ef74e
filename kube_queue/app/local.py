"""`kube-queue local up`: the whole system on this machine, as processes under one supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kube_queue.api.errors import InvalidSetting
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.faults import LATE, FaultyServer
from kube_queue.apiserver.http import serve
from kube_queue.apiserver.journal import Journal, JournalError
from kube_queue.apiserver.tls import Certificate, kept, self_signed
from kube_queue.app.data_folder import FLAG, Keepsakes, keep_ports, keepsakes
from kube_queue.app.install import install
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.app.supervisor import Child, ChildFailed, Supervisor
from kube_queue.controlplane.ports import HeldPorts
from kube_queue.kube.connection import connect

LOCAL_EXTENSIONS = (
    "tfjob,pytorchjob,job,sparkapp,rayjob,mpiv1,workflow,xgboostjob,paddlejob,jaxjob,mxjob,"
    "jobset,trainjob,raycluster,appwrapper,pod,podgroup,leaderworkerset"
)
Words = tuple[str, ...]
_TOKEN: Final = "token"
_KUBECONFIG: Final = "kubeconfig"


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
    scheduler: bool = True
    """The co-scheduler runs beside the default scheduler."""
    environment: Mapping[str, str] = field(default_factory=dict)
    config: Path | None = None
    """A settings file that the processes of ours read."""
    data_dir: Path | None = None
    """Keeps the objects, the token, the ports and the certificate; None: they go with the cluster.
    """
    late: int | None = None
    """The seed by which answers and watches are late at random; None: they are not."""

    @property
    def config_flags(self) -> Words:
        """What every process of ours is told."""
        return () if self.config is None else ("--config", str(self.config.absolute()))

    @property
    def common_flags(self) -> Words:
        """What the controller and the job side are told."""
        return (*self.config_flags, *self.shared_flags)


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

    Raises ChildFailed, with one sentence, when a part does not start, or when the API server ends
    and its objects are not kept; InvalidSetting when the data folder cannot be used. The logs live
    in a directory of their own that goes with the cluster, except when it failed.
    """
    directory = Path(tempfile.mkdtemp(prefix="kube-queue-local-"))
    supervisor = Supervisor(directory, say)
    try:
        up(await _start(options, supervisor, directory))
        await supervisor.wait()
    except ChildFailed:
        await supervisor.stop()
        # The logs say why it failed; what opened the cluster opens nothing any more.
        for secret in (_TOKEN, _KUBECONFIG):
            (directory / secret).unlink(missing_ok=True)
        raise
    except BaseException:
        await supervisor.stop()
        shutil.rmtree(directory, ignore_errors=True)
        raise


async def _start(options: LocalOptions, supervisor: Supervisor, directory: Path) -> LocalCluster:
    supervisor.ports.hold(options.port)
    keep = _keepsakes(options, supervisor.ports)
    token, token_file = keep.token, directory / _TOKEN
    token_file.touch(mode=0o600)
    token_file.write_text(token, encoding="utf-8")
    # Children read a kubeconfig of their own: the user's file may be edited, merged or deleted.
    private = directory / _KUBECONFIG
    facts = await supervisor.start(api_server(options, keep, token_file))
    if options.data_dir is not None:
        keep_ports(options.data_dir, keep)
    # Our own processes speak plain HTTP on loopback: encrypting it would cost them a third.
    write_kubeconfig(private, server=facts["plain"], token=token)
    server, authority = facts["secure"], facts["authority"]
    client = await connect(kubeconfig=str(private))
    try:
        await install(client, operators=True)
    finally:
        await client.close()
    visibility = scheduler = ""
    for child in controllers(options, str(private), supervisor.ports):
        facts = await supervisor.start(child)
        visibility = facts.get("visibility", visibility)
        scheduler = facts.get("scheduler", scheduler)
    write_kubeconfig(
        options.kubeconfig,
        server=server,
        token=token,
        authority=authority,
        visibility=visibility,
        scheduler=scheduler,
    )
    return LocalCluster(options.kubeconfig, server, visibility, directory, supervisor.pids())


def _keepsakes(options: LocalOptions, ports: HeldPorts) -> Keepsakes:
    if options.data_dir is None:
        return Keepsakes(secrets.token_urlsafe(24), options.port, 0)
    return keepsakes(options.data_dir, options.port, ports)


def api_server(options: LocalOptions, keep: Keepsakes, token_file: Path) -> Child:
    """The API server; with a data folder it may end and come back where it was."""
    words: Words = ("local", "api-server", "--token-file", str(token_file))
    words += ("--port", str(keep.port), "--plain-port", str(keep.plain_port))
    if options.data_dir is not None:
        words += (FLAG, str(options.data_dir.absolute()))
    if options.late is not None:
        words += ("--late", str(options.late))
    return _child(options, "api-server", words, vital=options.data_dir is None)


def controllers(options: LocalOptions, kubeconfig: str, ports: HeldPorts) -> list[Child]:
    """The simulator and the processes of ours, in the order they are started."""
    common = ("--kubeconfig", kubeconfig, "--child")
    jobs = ("--enabled-extensions", options.enabled_extensions)
    # A port chosen once: a restarted controller answers where the kubeconfig says.
    queue: Words = ("controller", *common, *options.common_flags, "--port", str(ports.any()))
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
    if options.scheduler:
        children.append(_child(options, "scheduler", scheduler_words(options, common, ports)))
    return children


def scheduler_words(options: LocalOptions, common: Words, ports: HeldPorts) -> Words:
    """The command line of the co-scheduler after `kube-queue`."""
    # A port chosen once, as the controller's: a restarted one explains where the kubeconfig says.
    words: Words = ("scheduler", *common, *options.config_flags, "--port", str(ports.any()))
    return (*words, "--leader-elect-identity", "local-scheduler")


def _child(
    options: LocalOptions, name: str, arguments: tuple[str, ...], *, vital: bool = False
) -> Child:
    command = (sys.executable, "-m", "kube_queue", *arguments)
    return Child(name, command, options.environment, vital=vital)


async def run_api_server(
    *,
    port: int,
    plain_port: int = 0,
    token_file: Path,
    data_dir: Path | None = None,
    late: int | None = None,
    serving: Callable[[dict[str, str]], None],
) -> None:
    """Serve the embedded API server on loopback until cancelled.

    `serving` is told the addresses: `secure` (TLS, on `port`; for kubectl, which sends a token
    only over TLS), its certificate `authority`, and `plain`. Both demand the token.
    Raises InvalidSetting when a port cannot be had or the data folder cannot be used.
    """
    token = token_file.read_text(encoding="utf-8").strip()
    async with contextlib.AsyncExitStack() as stack:
        server, certificate = _server(data_dir)
        stack.push_async_callback(server.close)
        front = server if late is None else FaultyServer(server, LATE, random.Random(late))
        try:
            plain = await serve(front, port=plain_port, token=token)
            stack.push_async_callback(plain.close)
            secure = await serve(front, port=port, token=token, tls=certificate)
            stack.push_async_callback(secure.close)
        except OSError as problem:
            raise InvalidSetting(
                f"cannot be had: {problem.strerror or problem}", "--port", "choose another, or 0"
            ) from problem
        authority = certificate.certificate
        serving({"plain": plain.url, "secure": secure.url, "authority": authority})
        await asyncio.get_running_loop().create_future()


def _server(data_dir: Path | None) -> tuple[ApiServer, Certificate]:
    rng = random.Random(secrets.randbits(64))
    if data_dir is None:
        return ApiServer(clock=time.time, rng=rng), self_signed(time.time())
    try:
        journal = Journal(data_dir)
        server = ApiServer(clock=time.time, rng=rng, journal=journal)
        # Only who has the journal may make a certificate for it.
        return server, kept(data_dir / "certificate.pem", time.time())
    except JournalError as problem:
        raise InvalidSetting(str(problem), FLAG) from problem
    except OSError as problem:
        text = f"{problem.filename} cannot be used: {problem.strerror}"
        raise InvalidSetting(text, FLAG) from problem
