"""Every setting as a flat list: path, flag, environment variable, type, default, documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from kube_queue.config.settings import Settings, SettingsGroup, Switchable


@dataclass(frozen=True, slots=True)
class Switch:
    """One setting. `flag` and `env` are empty where only the settings file sets it."""

    path: str
    flag: str
    env: str
    kind: str
    legal: tuple[str, ...]
    default: Any
    doc: str


def switches() -> tuple[Switch, ...]:
    """Every setting, in the order of the tree."""
    return tuple(_walk(Settings))


def _walk(root: type[Settings]) -> Iterator[Switch]:
    for group_name, group_field in root.model_fields.items():
        group = group_field.annotation
        assert isinstance(group, type) and issubclass(group, SettingsGroup)
        for name, field in group.model_fields.items():
            marks = [mark for mark in field.metadata if isinstance(mark, Switchable)]
            mark = marks[0] if marks else Switchable()
            kind = field.annotation
            assert isinstance(kind, type)
            legal = tuple(str(item.value) for item in kind) if issubclass(kind, Enum) else ()
            yield Switch(
                path=f"{group_name}.{name}",
                flag=mark.flag,
                env=mark.env,
                kind="one of" if legal else kind.__name__,
                legal=legal,
                default=field.default,
                doc=" ".join((field.description or "").split()),
            )
