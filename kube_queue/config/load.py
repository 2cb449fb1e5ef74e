"""How a settings tree comes about: flag, else environment, else file, else default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kube_queue.api.errors import InvalidInput, InvalidSetting
from kube_queue.api.selectors import parse_selector
from kube_queue.config.settings import Settings
from kube_queue.config.switches import Switch, switches


class InvalidSettings(InvalidSetting):
    """Several settings are wrong; `violations` holds one sentence each, str() all of them."""

    def __init__(self, violations: tuple[InvalidInput, ...]) -> None:
        super().__init__(f"{len(violations)} settings are wrong")
        self.violations = violations

    def __str__(self) -> str:
        return "\n".join(str(violation) for violation in self.violations)


def load_settings(
    config_file: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings that flags, environment, file and defaults make, in this order of strength.

    `flags` maps a flag's name ("--oversellrate", dashes optional) to its value; None = not given.
    `env` maps variables to values; an empty value counts as not given, other variables are ignored.
    Raises InvalidSetting (InvalidSettings when several are wrong).
    """
    tree: dict[str, Any] = {}
    origin: dict[str, str] = {}
    if config_file is not None:
        tree = _read_file(Path(config_file))
    known = switches()
    for switch in known:
        if switch.env and (env or {}).get(switch.env, "") != "":
            _put(tree, origin, switch, (env or {})[switch.env], switch.env)
    violations = _put_flags(tree, origin, known, flags or {})
    _fold_case(tree, known)
    settings, found = _validate(tree, origin, known)
    violations += found
    if len(violations) == 1:
        raise violations[0]
    if violations or settings is None:
        raise InvalidSettings(tuple(violations))
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise InvalidSetting(
            f"cannot be read: {problem.strerror}", str(path), "name a file that exists"
        ) from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        first = " ".join(str(problem).split())
        raise InvalidSetting(f"is not YAML: {first}", str(path), "mend the file") from problem
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise InvalidSetting(
            "holds no mapping", str(path), "write groups such as `controller:` at its top"
        )
    return tree


def _put(
    tree: dict[str, Any], origin: dict[str, str], switch: Switch, value: Any, source: str
) -> None:
    group, name = switch.path.split(".")
    held = tree.get(group)
    if held is None:
        held = tree[group] = {}
    if isinstance(held, dict):  # anything else is refused by the validation that follows
        held[name] = value
        origin[switch.path] = source


def _put_flags(
    tree: dict[str, Any],
    origin: dict[str, str],
    known: tuple[Switch, ...],
    flags: Mapping[str, Any],
) -> list[InvalidInput]:
    by_flag = {switch.flag: switch for switch in known if switch.flag}
    violations: list[InvalidInput] = []
    for given, value in flags.items():
        flag = "--" + given.lstrip("-").replace("_", "-")
        if value is None:
            continue
        if flag not in by_flag:
            violations.append(
                InvalidSetting("is not a known flag", flag, f"use one of {', '.join(by_flag)}")
            )
            continue
        _put(tree, origin, by_flag[flag], value, flag)
    return violations


def _fold_case(tree: dict[str, Any], known: tuple[Switch, ...]) -> None:
    """Words out of a fixed list are read in upper and lower case alike."""
    for switch in known:
        group, name = switch.path.split(".")
        held = tree.get(group)
        if switch.legal and isinstance(held, dict) and isinstance(held.get(name), str):
            given = held[name].strip().lower()
            held[name] = next((word for word in switch.legal if word.lower() == given), given)


def _validate(
    tree: dict[str, Any], origin: Mapping[str, str], known: tuple[Switch, ...]
) -> tuple[Settings | None, list[InvalidInput]]:
    # A group written without content (`controller:`) means its defaults.
    present = {name: group for name, group in tree.items() if group is not None}
    try:
        settings = Settings.model_validate(present)
    except ValidationError as problem:
        return None, [_sentence(error, origin, known) for error in problem.errors()]
    return settings, [*_between_fields(settings, origin), *_unreadable(settings, origin)]


def _between_fields(settings: Settings, origin: Mapping[str, str]) -> list[InvalidInput]:
    """Rules that no single field can state."""
    violations: list[InvalidInput] = []
    leader = settings.leader
    for lower, upper in (("retry_seconds", "renew_seconds"), ("renew_seconds", "lease_seconds")):
        if getattr(leader, lower) >= getattr(leader, upper):
            path = f"leader.{lower}"
            violations.append(
                InvalidSetting(
                    f"is {getattr(leader, lower):g}, not below leader.{upper} "
                    f"({getattr(leader, upper):g})",
                    origin.get(path, path),
                    "make it smaller",
                )
            )
    return violations


def _unreadable(settings: Settings, origin: Mapping[str, str]) -> Iterator[InvalidInput]:
    """Texts that have a syntax of their own."""
    if not settings.scheduler.scheduler_names:
        path = "scheduler.names"
        yield InvalidSetting("names no scheduler", origin.get(path, path), "name one")
    for name in ("job_selector", "namespace_selector"):
        path = f"jobs.{name}"
        try:
            parse_selector(getattr(settings.jobs, name))
        except InvalidInput as error:
            yield InvalidSetting(error.problem, origin.get(path, path), error.hint)


def _sentence(
    error: ErrorDetails, origin: Mapping[str, str], known: tuple[Switch, ...]
) -> InvalidInput:
    path = ".".join(str(step) for step in error["loc"])
    shown = origin.get(path, path)
    by_path = {switch.path: switch for switch in known}
    if error["type"] in ("extra_forbidden", "invalid_key"):
        return InvalidSetting("is not a known setting", shown, f"use {_siblings(path, known)}")
    if error["type"] == "model_type":
        return InvalidSetting("is not a mapping", shown, f"use {_siblings(path + '.', known)}")
    switch = by_path.get(path)
    value = error["input"]
    said = value.value if isinstance(value, Enum) else value
    if switch is not None and switch.legal:
        return InvalidSetting(f"is {said!r}", shown, f"use one of {', '.join(switch.legal)}")
    if switch is not None and switch.kind == "bool":
        return InvalidSetting(f"is {said!r}", shown, "use true or false")
    if error["type"] == "string_too_short":
        return InvalidSetting("is empty", shown, "name one")
    wanted = re.sub(r"^Input should be (a )?", "", error["msg"])
    return InvalidSetting(f"is {said!r}", shown, f"use {_article(wanted)}")


def _article(wanted: str) -> str:
    wanted = wanted[0].lower() + wanted[1:]
    wanted = wanted.split(", unable to parse")[0]
    if wanted.startswith(("valid", "finite")):
        return "a " + wanted
    return "a value " + wanted


def _siblings(path: str, known: tuple[Switch, ...]) -> str:
    prefix = path.rpartition(".")[0]
    if prefix:
        names = [s.path.split(".")[1] for s in known if s.path.startswith(prefix + ".")]
    else:
        names = list(dict.fromkeys(s.path.split(".")[0] for s in known))
    return "one of " + ", ".join(names) if names else "a known setting"
