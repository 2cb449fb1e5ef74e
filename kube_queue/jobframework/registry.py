"""Which extensions there are, and the ones a setting names.

Built-in kinds and third parties' register alike: an entry point of group
`kube_queue.job_extensions` whose object, called without arguments, is a JobExtension.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from kube_queue.api.errors import InvalidSetting
from kube_queue.jobframework.extension import Grouped, JobExtension

GROUP: Final = "kube_queue.job_extensions"
SETTING: Final = "--enabled-extensions"


def load_extensions(names: str) -> tuple[JobExtension, ...]:
    """The extensions that a comma-separated list names, each once, in its order.

    Upper and lower case are alike. Raises InvalidSetting, with the list of what there is, for a
    name nobody registered and for extensions that cannot work together.
    """
    wanted = list(dict.fromkeys(name.strip().lower() for name in names.split(",") if name.strip()))
    registered = _registered()
    if not wanted:
        raise InvalidSetting("names no job type", SETTING, _choice(registered))
    found: dict[str, JobExtension] = {}
    for name in wanted:
        extension = _named(name, registered)
        found.setdefault(extension.name, extension)
    extensions = tuple(found.values())
    _check_together(extensions)
    return extensions


def every_extension() -> tuple[JobExtension, ...]:
    """Every extension that is registered, by name. Raises InvalidSetting as load_extensions."""
    registered = _registered()
    return tuple(_load(registered[name]) for name in sorted(registered))


def _registered() -> dict[str, EntryPoint]:
    """Entry points by lower-case name; the same one seen through two paths counts once."""
    registered: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        name = point.name.lower()
        other = registered.setdefault(name, point)
        if other.value != point.value:
            raise InvalidSetting(
                f"two packages register the job type {name}: {other.value} and {point.value}",
                SETTING,
                "uninstall one of them",
            )
    return registered


def _named(name: str, registered: dict[str, EntryPoint]) -> JobExtension:
    if name in registered:
        return _load(registered[name])
    for point in registered.values():
        extension = _load(point)
        if name in (alias.lower() for alias in extension.aliases):
            return extension
    raise InvalidSetting(f"no job type is called {name}", SETTING, _choice(registered))


def _load(point: EntryPoint) -> JobExtension:
    try:
        extension = point.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise InvalidSetting(
            f"the job type {point.name} cannot be loaded from {point.value}: {error}",
            SETTING,
            "mend or uninstall its package",
        ) from error
    if not isinstance(extension, JobExtension):
        missing = [part for part in _PARTS if not hasattr(extension, part)]
        raise InvalidSetting(
            f"the job type {point.name} of {point.value} lacks {', '.join(missing)}",
            SETTING,
            "mend or uninstall its package",
        )
    return extension


_PARTS: Final = (
    "name",
    "aliases",
    "resource",
    "suffix",
    "state",
    "pod_sets",
    "priority_class",
    "resume",
)


def _check_together(extensions: Iterable[JobExtension]) -> None:
    """Units of different kinds must have different names, and a kind must have one master."""
    suffixes: dict[str, str] = {}
    kinds: dict[tuple[str, str, str], str] = {}
    for extension in extensions:
        # A pod is one of a group or none, whoever else queues pods.
        whose = extension.name if isinstance(extension, Grouped) else ""
        kind = (extension.resource.group, extension.resource.kind, whose)
        other = suffixes.setdefault(extension.suffix, extension.name)
        same_kind = kinds.setdefault(kind, extension.name)
        if other != extension.name:
            problem = f"{other} and {extension.name} both name their units -{extension.suffix}-qu"
            raise InvalidSetting(problem, SETTING, "enable one of them")
        if same_kind != extension.name:
            problem = f"{same_kind} and {extension.name} both queue {extension.resource.kind}"
            raise InvalidSetting(problem, SETTING, "enable one of them")


def _choice(registered: dict[str, EntryPoint]) -> str:
    return f"use one or more of {', '.join(sorted(registered))}, separated by commas"
