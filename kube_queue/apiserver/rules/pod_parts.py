"""Parts of a pod's spec that have rules of their own, and what an update may not do to them.

Holds: part_errors, change_errors.
"""

from collections.abc import Iterator

from kube_queue.apiserver.meta import label_errors
from kube_queue.apiserver.patches import same
from kube_queue.apiserver.rules.quantities import amount
from kube_queue.apiserver.status import (
    FieldError,
    field_forbidden,
    field_invalid,
    field_unsupported,
    show,
)
from kube_queue.apiserver.store import Object

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_OPERATORS = ("Equal", "Exists")
_LATEST = 2**31 - 1


def part_errors(spec: Object, path: str) -> list[FieldError]:
    """What is wrong with deadline, selector, tolerations, mounts and resources."""
    found = []
    deadline = spec.get("activeDeadlineSeconds", 1)
    if not 1 <= deadline <= _LATEST:
        problem = f"must be between 1 and {_LATEST}, inclusive"
        found.append(field_invalid(f"{path}.activeDeadlineSeconds", deadline, problem))
    found += label_errors(spec.get("nodeSelector", {}), f"{path}.nodeSelector")
    for place, toleration in enumerate(spec.get("tolerations", ())):
        operator = toleration.get("operator", "Equal")
        if operator not in _OPERATORS:
            where = f"{path}.tolerations[{place}].operator"
            found.append(field_unsupported(where, operator, _OPERATORS))
    volumes = {volume.get("name") for volume in spec.get("volumes", ())}
    for where, container in _containers(spec, path):
        found += _mount_errors(container, where, volumes)
        found += _resource_errors(container, where)
    return found


def _containers(spec: Object, path: str) -> Iterator[tuple[str, Object]]:
    for key in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(key, ())):
            yield f"{path}.{key}[{place}]", container


def _mount_errors(container: Object, path: str, volumes: set[str]) -> list[FieldError]:
    return [
        FieldError(
            f"{path}.volumeMounts[{place}].name",
            "FieldValueNotFound",
            f"Not found: {show(mount.get('name', ''))}",
        )
        for place, mount in enumerate(container.get("volumeMounts", ()))
        if mount.get("name", "") not in volumes
    ]


def _resource_errors(container: Object, path: str) -> list[FieldError]:
    found = []
    for key in ("limits", "requests"):
        for name, text in container.get("resources", {}).get(key, {}).items():
            where = f"{path}.resources.{key}[{name}]"
            if name in _STANDARD or name.startswith("hugepages-"):
                continue
            if "/" not in name:
                for what in ("resource type or fully qualified", "resource for containers"):
                    found.append(field_invalid(where, name, f"must be a standard {what}"))
            elif amount(text).denominator != 1:
                found.append(field_invalid(where, text, "must be an integer"))
    return found


def change_errors(spec: Object, old: Object) -> list[FieldError]:
    """What the new spec does that no update may do."""
    for key in ("containers", "initContainers"):
        if len(spec.get(key, ())) != len(old.get(key, ())):
            problem = "pod updates may not add or remove containers"
            return [field_forbidden(f"spec.{key}", problem)]
    found = []
    before, now = (one.get("activeDeadlineSeconds") for one in (old, spec))
    if before is not None and now is None:
        problem = "must not update from a positive integer to nil value"
        found.append(field_invalid("spec.activeDeadlineSeconds", None, problem))
    elif before is not None and now is not None and now > before:
        problem = "must be less than or equal to previous value"
        found.append(field_invalid("spec.activeDeadlineSeconds", now, problem))
    kept = [_without_seconds(one) for one in spec.get("tolerations", ())]
    if any(_without_seconds(one) not in kept for one in old.get("tolerations", ())):
        problem = "existing toleration can not be modified except its tolerationSeconds"
        found.append(field_forbidden("spec.tolerations", problem))
    return found


def _without_seconds(toleration: Object) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def may_narrow(spec: Object, old: Object) -> bool:
    """Whether the selector of a gated pod only gained keys: where it may go can get less."""
    before, now = (one.get("nodeSelector", {}) for one in (old, spec))
    return bool(old.get("schedulingGates")) and all(
        same(now.get(key), value) for key, value in before.items()
    )
