"""Kubeconfig files: found, merged as kubectl merges them, and reduced to one context."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_queue.api.errors import InvalidSetting

VISIBILITY_EXTENSION = "kube-queue"


@dataclass(frozen=True, slots=True)
class Entry:
    """One named part of a kubeconfig and the file it came from."""

    path: str
    """What a person would call it: `/home/a/.kube/config: users[a]`."""
    directory: Path
    body: Mapping[str, Any]

    def text(self, name: str) -> str:
        """The field's text, empty when absent. Raises InvalidSetting when it is no text."""
        value = self.body.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise InvalidSetting(f"must be text, not {type(value).__name__}", f"{self.path}.{name}")
        return value

    def file(self, name: str) -> Path | None:
        """The file a field names, relative to its kubeconfig, or None."""
        text = self.text(name)
        return self.directory / text if text else None

    def content(self, name: str) -> bytes:
        """What `<name>-data` holds in base64, else what the file `<name>` holds, else nothing."""
        data = self.text(f"{name}-data")
        if data:
            try:
                return base64.b64decode(data, validate=False)
            except binascii.Error as error:
                raise InvalidSetting(
                    f"is not base64: {error}", f"{self.path}.{name}-data"
                ) from None
        file = self.file(name)
        return read_file(file, f"{self.path}.{name}") if file is not None else b""


@dataclass(frozen=True, slots=True)
class Context:
    """One context with its cluster and user; `files` is where it was read, for other readers."""

    name: str
    namespace: str
    cluster: Entry
    user: Entry
    files: tuple[Path, ...]

    @property
    def visibility(self) -> str:
        """The address where the controller of this cluster explains, or empty."""
        return self._told("visibility")

    @property
    def scheduler(self) -> str:
        """The address where the co-scheduler of this cluster explains, or empty."""
        return self._told("scheduler")

    def _told(self, what: str) -> str:
        for one in self.cluster.body.get("extensions") or ():
            if isinstance(one, Mapping) and one.get("name") == VISIBILITY_EXTENSION:
                extension = one.get("extension") or {}
                url = extension.get(what) if isinstance(extension, Mapping) else ""
                return url if isinstance(url, str) else ""
        return ""


def read_file(path: Path, setting: str) -> bytes:
    """The file's bytes. Raises InvalidSetting, naming the setting, when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidSetting(f"cannot read {path}: {reason}", setting) from None


def named_files(kubeconfig: str | None) -> tuple[Path, ...]:
    """The files an explicit argument or KUBECONFIG names, those that exist; empty = none named.

    Raises InvalidSetting when files were named and none of them exists.
    """
    if kubeconfig:
        path = Path(kubeconfig).expanduser()
        if not path.is_file():
            raise InvalidSetting(f"there is no file {path}", "--kubeconfig")
        return (path,)
    named = [
        Path(one).expanduser() for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one
    ]
    found = tuple(path for path in named if path.is_file())
    if named and not found:
        listed = ", ".join(str(path) for path in named)
        raise InvalidSetting(f"there is no file {listed}", "KUBECONFIG")
    return found


def home_file() -> Path:
    """Where a user's kubeconfig is unless told otherwise."""
    return Path.home() / ".kube" / "config"


def read_context(files: tuple[Path, ...], context: str | None) -> Context:
    """The named context, or the current one, of the merged files.

    Of two entries with one name the first file's counts, and the first current-context set.
    Raises InvalidSetting.
    """
    parts: dict[str, dict[str, Entry]] = {"clusters": {}, "users": {}, "contexts": {}}
    current = context or ""
    for file in files:
        content = _parse(file)
        for plural, entries in parts.items():
            _merge(entries, content.get(plural), f"{file}: {plural}", file.parent, plural[:-1])
        current = current or content.get("current-context") or ""
    where = ", ".join(str(file) for file in files)
    if not current:
        hint = "pass --context or run: kubectl config use-context NAME"
        raise InvalidSetting("no current-context is set", where, hint)
    chosen = _find(parts["contexts"], current, "context", where)
    user = chosen.text("user")
    return Context(
        name=current,
        namespace=chosen.text("namespace"),
        cluster=_find(parts["clusters"], chosen.text("cluster"), "cluster", where),
        # A cluster that asks nobody who they are needs no user.
        user=_find(parts["users"], user, "user", where) if user else Entry(where, Path(), {}),
        files=files,
    )


def _parse(file: Path) -> Mapping[str, Any]:
    import yaml

    # libyaml, where present, reads ten times faster.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(read_file(file, "--kubeconfig"), Loader=loader)
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())
        raise InvalidSetting(f"is not YAML: {text}", str(file)) from None
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise InvalidSetting("is no kubeconfig: its top level is no mapping", str(file))
    return content


def _merge(
    entries: dict[str, Entry], found: object, path: str, directory: Path, inner: str
) -> None:
    if found is None:
        return
    if not isinstance(found, list):
        raise InvalidSetting("must be a list", path)
    for one in found:
        if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
            raise InvalidSetting("every entry needs a name", path)
        body = one.get(inner) or {}
        if not isinstance(body, Mapping):
            raise InvalidSetting("must be a mapping", f"{path}[{one['name']}].{inner}")
        name = one["name"]
        entries.setdefault(name, Entry(f"{path}[{name}]", directory, body))


def _find(entries: Mapping[str, Entry], name: str, what: str, where: str) -> Entry:
    if name in entries:
        return entries[name]
    known = ", ".join(sorted(entries)) or "none"
    raise InvalidSetting(f"there is no {what} {name!r}", where, f"known: {known}")
