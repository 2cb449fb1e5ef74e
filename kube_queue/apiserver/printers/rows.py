"""What a printer returns, and the small forms many printers share.

Holds: Row, Printer, cells for names, lists, selectors.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
NONE = "<none>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one object, and what the row says about the object as a whole."""

    cells: list[Any]
    conditions: tuple[Mapping[str, str], ...] = ()


Printer = Callable[[Object, float], Row]
"""Object and present (seconds since the epoch) -> its row."""


def part(obj: Object, *path: str) -> Mapping[str, Any]:
    """The mapping at a path of field names; empty when it is absent or null."""
    value: Any = obj
    for name in path:
        value = (value.get(name) if isinstance(value, Mapping) else None) or {}
    return value if isinstance(value, Mapping) else {}


def items(obj: Object, name: str) -> list[Any]:
    """The list in a field; empty when it is absent or null."""
    value = obj.get(name)
    return value if isinstance(value, list) else []


def name_of(obj: Object) -> str:
    """metadata.name, empty when absent."""
    return str(part(obj, "metadata").get("name", ""))


def containers_of(obj: Object) -> tuple[str, str]:
    """Names and images of the containers in an object's pod template."""
    found = items(part(obj, "spec", "template", "spec"), "containers")
    names, images = (
        ",".join(str(container.get(key, "")) for container in found) for key in ("name", "image")
    )
    return names, images


def condition_is_true(obj: Object, wanted: str) -> bool:
    """Whether the first condition of that type in status is True."""
    for condition in items(part(obj, "status"), "conditions"):
        if condition.get("type") == wanted:
            return bool(condition.get("status") == "True")
    return False


def joined(values: Iterable[str], otherwise: str = NONE) -> str:
    """The values with commas between them, or what stands for no value."""
    return ",".join(values) or otherwise


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as `a=b,c=d` in order of key."""
    return joined(f"{key}={labels[key]}" for key in sorted(labels))


def selector_text(selector: Mapping[str, Any]) -> str:
    """A label selector as `a=b,c in (d,e),!f` in order of key."""
    wanted = [(key, f"{key}={value}") for key, value in part(selector, "matchLabels").items()]
    for rule in items(selector, "matchExpressions"):
        key, operator = str(rule.get("key", "")), rule.get("operator")
        values = ",".join(sorted(rule.get("values") or ()))
        texts = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        if operator not in texts:
            return "<error>"
        wanted.append((key, texts[operator]))
    return joined(text for _, text in sorted(wanted))
