"""What a cluster keeps on disk besides its objects: tokens, keys, kubeconfigs. Owner-only."""

import base64
import json
import os
import secrets
from pathlib import Path

# RFC 5915 around 32 random bytes: version 1, the private number, the curve P-256. The public half
# is left out, which every reader works out by itself.
_KEY_HEAD = bytes.fromhex("30310201010420")
_KEY_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")


def write_private(path: Path, text: str) -> None:
    """The file holds the text, whole, readable by its owner only."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def signing_key(path: Path) -> Path:
    """A P-256 key in PEM stands there, made now if it did not: service account tokens need one."""
    if not path.is_file():
        der = _KEY_HEAD + secrets.token_bytes(32) + _KEY_TAIL
        kind = "EC PRIVATE KEY"
        body = base64.encodebytes(der).decode()
        write_private(path, f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n")
    return path


def tokens(path: Path, users: tuple[str, ...]) -> dict[str, str]:
    """A token for each of these users, who may do anything; the same ones when asked again.

    The file is the API server's --token-auth-file.
    """
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        known = {user: token for token, user, *_ in (line.split(",") for line in lines)}
    else:
        known = {}
    for user in users:
        known.setdefault(user, secrets.token_urlsafe(32))
    lines = [f'{token},{user},{user},"system:masters"' for user, token in known.items()]
    write_private(path, "\n".join(lines) + "\n")
    return known


def kubeconfig(path: Path, *, server: str, authority: str, token: str) -> Path:
    """A kubeconfig stands there (JSON, which is YAML)."""
    trusted = base64.b64encode(authority.encode()).decode()
    name = "cluster"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": trusted}}
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    write_private(path, json.dumps(config))
    return path
