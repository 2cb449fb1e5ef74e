"""Small patches with a precondition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(uid: str, resource_version: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as a merge patch that only fits this very object at this very version.

    The client raises Conflict when the object was replaced (uid) or changed (resourceVersion)
    since. An empty uid or version leaves that condition out.
    """
    metadata = dict(changes.get("metadata") or {})
    if uid:
        metadata["uid"] = uid
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {**changes, "metadata": metadata}
