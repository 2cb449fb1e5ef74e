"""The kubeconfig of a local cluster: loopback, a token, and where the controller answers."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from kube_queue.api.errors import InvalidSetting

CONTEXT = "kube-queue-local"


def write_kubeconfig(
    path: Path, *, server: str, token: str, authority: str = "", visibility: str = ""
) -> None:
    """The file names the cluster, readable by its owner only; an old one is replaced whole.

    `authority` is the PEM certificate to trust; kubectl sends a token only over TLS. `visibility`
    goes into the cluster's extensions, where `kube-queue explain` finds the address.
    Raises InvalidSetting when the file cannot be written.
    """
    cluster: dict[str, object] = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    if visibility:
        cluster["extensions"] = [{"name": "kube-queue", "extension": {"visibility": visibility}}]
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
