"""The kubeconfig of a local cluster: loopback, a token, and where the controller answers."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import yaml

from kube_queue.api.errors import InvalidSetting

CONTEXT = "kube-queue-local"
PATIENCE_SECONDS: Final = 2.0
"""How long a server of this machine may take to greet before it counts as gone."""


def write_kubeconfig(
    path: Path,
    *,
    server: str,
    token: str,
    authority: str = "",
    visibility: str = "",
    scheduler: str = "",
) -> None:
    """The file names the cluster, readable by its owner only; an old one is replaced whole.

    `authority` is the PEM certificate to trust; kubectl sends a token only over TLS. `visibility`
    and `scheduler` go into the cluster's extensions, where `kube-queue explain` finds the addresses
    of the controller and the co-scheduler.
    Raises InvalidSetting when the file cannot be written.
    """
    cluster: dict[str, object] = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    told = {"visibility": visibility, "scheduler": scheduler}
    known = {name: address for name, address in told.items() if address}
    if known:
        cluster["extensions"] = [{"name": "kube-queue", "extension": known}]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [
            {
                "name": CONTEXT,
                "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"},
            }
        ],
        "current-context": CONTEXT,
    }
    with _fresh_file(path) as fresh:
        fresh.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        fresh.replace(path)


def demand_writable(path: Path) -> None:
    """A kubeconfig can be written here, and its directory exists. Raises InvalidSetting."""
    with _fresh_file(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def demand_unused(path: Path) -> None:
    """No local cluster that runs wrote this file: its users go on reaching it by it.

    A server counts as that cluster if it has the key of the certificate that the file trusts.
    Raises InvalidSetting.
    """
    written = _local_cluster(path)
    if written is not None and _greets(*written):
        raise InvalidSetting(
            f"{path} belongs to the local cluster that serves at {written[0]}",
            "--kubeconfig",
            "stop that one, or name another file",
        )


def _local_cluster(path: Path) -> tuple[str, str] | None:
    """Server and PEM certificate, if `write_kubeconfig` wrote this file, else None."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        clusters = {one["name"]: one["cluster"] for one in config["clusters"]}
        cluster = clusters[CONTEXT]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return str(cluster["server"]), authority
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return None


def _greets(server: str, authority: str) -> bool:
    address = urlsplit(server)
    try:
        trust = ssl.create_default_context(cadata=authority)
        where = (address.hostname or "", address.port or 443)
        with (
            socket.create_connection(where, timeout=PATIENCE_SECONDS) as plain,
            trust.wrap_socket(plain, server_hostname=address.hostname),
        ):
            return True
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _fresh_file(path: Path) -> Iterator[Path]:
    """A file of our own beside `path`, gone afterwards; an OSError is a wrong setting."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as problem:
        # What exists where the directory should be is a file.
        code = errno.ENOTDIR if isinstance(problem, FileExistsError) else problem.errno
        raise InvalidSetting(
            f"{path} cannot be written: {os.strerror(code) if code else problem}",
            "--kubeconfig",
            "name another file",
        ) from problem
