"""Worlds for the server's face: registries and kinds, without a server."""

import pytest

from kube_queue.apiserver import builtin
from kube_queue.apiserver.kinds import Column, Kind, KindRegistry


@pytest.fixture
def registry() -> KindRegistry:
    """Every built-in kind."""
    return KindRegistry(builtin.load_kinds())


def custom_kind(
    *columns: Column, group: str = "example.com", version: str = "v1", schema: object = None
) -> Kind:
    """A custom kind Widget with status and scale."""
    return Kind(
        group=group,
        version=version,
        kind="Widget",
        list_kind="WidgetList",
        plural="widgets",
        singular="widget",
        namespaced=True,
        short_names=("wd",),
        categories=("all",),
        subresources=frozenset({"status", "scale"}),
        schema=schema if isinstance(schema, dict) else {"type": "object"},
        columns=columns,
    )
