"""The server as a process: `python -m kube_queue.apiserver --port 0 --token-file FILE`.

Prints its URL on one line and serves until it is told to end. With `--certificate-file` it serves
TLS as well, on a port of its own: it writes its certificate there and prints the https URL on a
second line; that is the one for kubectl, which sends its token only over TLS. With `--data-dir` its
objects outlive it, and so does the certificate.

It listens on loopback. With `--host` and `--allow-remote` TLS is served on another address, to who
has the token; plain HTTP stays on loopback.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import random
import signal
import sys
import time
from pathlib import Path

from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.faults import FaultPlan, FaultyServer
from kube_queue.apiserver.guard import is_loopback
from kube_queue.apiserver.http import serve
from kube_queue.apiserver.journal import Journal, JournalError
from kube_queue.apiserver.messages import Handler
from kube_queue.apiserver.tls import LOOPBACK, Certificate, kept, self_signed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kube_queue.apiserver",
        description="A Kubernetes-compatible API server that works in memory.",
    )
    parser.add_argument("--host", default=LOOPBACK[0], help="address to listen on")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="let --host be an address that other machines can reach; takes a token and TLS",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--token-file", type=Path, help="file with the bearer token to demand")
    parser.add_argument(
        "--exit-with-stdin", action="store_true", help="end when standard input closes"
    )
    parser.add_argument(
        "--certificate-file", type=Path, help="serve TLS too, and write the certificate here"
    )
    parser.add_argument("--tls-port", type=int, default=0, help="port for TLS; 0 takes a free one")
    parser.add_argument("--data-dir", type=Path, help="folder that keeps the objects")
    parser.add_argument(
        "--faults",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="for tests of clients: fail this share of requests, and every other watch",
    )
    parser.add_argument("--fault-seed", type=int, default=0, help="which of them")
    arguments = parser.parse_args()
    if not is_loopback(arguments.host):
        needed = ("allow_remote", "token_file", "certificate_file")
        missing = [f"--{name.replace('_', '-')}" for name in needed if not vars(arguments)[name]]
        if missing:
            parser.error(
                f"--host {arguments.host} can be reached from other machines: that takes "
                f"{' and '.join(missing)} too"
            )
    return arguments


def _certificate(arguments: argparse.Namespace) -> Certificate:
    now = time.time()  # noqa: TID251
    addresses = list(LOOPBACK)
    with contextlib.suppress(ValueError):  # A name is no address.
        addresses.append(str(ipaddress.ip_address(arguments.host)))
    if arguments.data_dir is not None:
        return kept(arguments.data_dir / "certificate.pem", now, dict.fromkeys(addresses))
    return self_signed(now, dict.fromkeys(addresses))


async def _main(arguments: argparse.Namespace) -> None:
    folder: Path | None = arguments.data_dir
    token = arguments.token_file.read_text().strip() if arguments.token_file else ""
    # This file is a process of its own: here the wall clock and true chance come in.
    journal = None if folder is None else Journal(folder)
    server: Handler
    server = ApiServer(clock=time.time, rng=random.SystemRandom(), journal=journal)  # noqa: TID251
    if arguments.faults:
        plan = FaultPlan.evenly(arguments.faults)
        server = FaultyServer(server, plan, random.Random(arguments.fault_seed))
    host = arguments.host
    plain = host if is_loopback(host) else LOOPBACK[0]
    fronts = [await serve(server, host=plain, port=arguments.port, token=token)]
    if arguments.certificate_file:
        tls = _certificate(arguments)
        arguments.certificate_file.write_text(tls.certificate)
        remote = arguments.allow_remote
        port = arguments.tls_port
        fronts.append(
            await serve(server, host=host, port=port, token=token, tls=tls, remote=remote)
        )
    print(*(front.url for front in fronts), sep="\n", flush=True)  # noqa: T201
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end.set)
    if arguments.exit_with_stdin:
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        watching = loop.create_task(_drain(reader, end))
        await end.wait()
        watching.cancel()
    else:
        await end.wait()
    for front in fronts:
        await front.close()
    await server.close()


async def _drain(reader: asyncio.StreamReader, end: asyncio.Event) -> None:
    while await reader.read(4096):
        pass
    end.set()


if __name__ == "__main__":
    try:
        asyncio.run(_main(_arguments()))
    except JournalError as problem:
        sys.exit(f"Error: {problem}")
