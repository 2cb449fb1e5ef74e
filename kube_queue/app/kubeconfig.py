"""The kubeconfig of a local cluster: loopback, a token, and where the controller answers."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

CONTEXT = "kube-queue-local"


def write_kubeconfig(
    path: Path, *, server: str, token: str, authority: str = "", visibility: str = ""
) -> None:
    """The file names the cluster, readable by its owner only; an old one is replaced whole.

    `authority` is the PEM certificate to trust; kubectl sends a token only over TLS. `visibility`
    goes into the cluster's extensions, where `kube-queue explain` finds the address.
    Raises OSError.
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
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + f".{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    fresh.replace(path)
