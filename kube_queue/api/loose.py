"""Reading fields of objects that anybody may have written: odd content is empty, never an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NONE: Final[Mapping[str, Any]] = {}


def mapping_of(value: object) -> Mapping[str, Any]:
    """``value`` where it is a map, else an empty one."""
    # On the watch path: a decoded object's maps are dicts, and asking the ABC costs ten times more.
    if type(value) is dict:
        return value
    return value if isinstance(value, Mapping) else _NONE


def text_of(value: object) -> str:
    """``value`` where it is text, else an empty one."""
    return value if isinstance(value, str) else ""


def shown(value: object) -> str:
    """``value`` as a message may quote it: one line, at most 60 characters, never a whole tree."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, (str, int, float)):
        return f"a {'list' if isinstance(value, (list, tuple)) else type(value).__name__}"
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python prints
        return "a very long number"
    return text if len(text) <= 60 else f"{text[:57]}..."


def field_path(path: str, name: str) -> str:
    """The path of field or key ``name`` below ``path``: ``max.cpu``, ``max[nvidia.com/gpu]``."""
    if not name.replace("-", "").replace("_", "").isalnum():
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name
