"""What a local cluster keeps beside its objects, so that a kubeconfig stays good: `--data-dir`.

Holds: Keepsakes, keepsakes, keep_ports.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kube_queue.api.errors import InvalidSetting
from kube_queue.controlplane.ports import HeldPorts

FLAG = "--data-dir"


@dataclass(frozen=True, slots=True)
class Keepsakes:
    """The token, and the ports for TLS and for plain HTTP."""

    token: str
    port: int
    plain_port: int


def keepsakes(folder: Path, port: int, ports: HeldPorts) -> Keepsakes:
    """The folder's token, made if there is none, and its ports, or others when they are taken.

    `port` is the one that was asked for; 0: whichever. The others are held. Raises InvalidSetting
    when the folder cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = _token(folder / "token")
        kept, plain = _ports(folder / "ports")
    except OSError as problem:
        raise InvalidSetting(
            f"{folder} cannot be used: {problem.strerror}", FLAG, "name another folder"
        ) from problem
    return Keepsakes(token, port or ports.any(kept), ports.any(plain))


def keep_ports(folder: Path, keep: Keepsakes) -> None:
    """The ports are the folder's, for the next start; only who has its store may say so."""
    text = json.dumps({"port": keep.port, "plainPort": keep.plain_port})
    (folder / "ports").write_text(text + "\n", encoding="utf-8")


def _token(path: Path) -> str:
    descriptor, fresh = tempfile.mkstemp(prefix=".token.", dir=path.parent)
    try:
        os.write(descriptor, secrets.token_urlsafe(24).encode())
        # Of two clusters that start at once, both read what one has written.
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        os.close(descriptor)
        Path(fresh).unlink()
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise InvalidSetting(f"{path} is empty", FLAG, "remove it, and a new token is made")
    return token


def _ports(path: Path) -> tuple[int, int]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return int(kept["port"]), int(kept["plainPort"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0, 0
