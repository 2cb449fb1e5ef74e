"""What a scenario is, and the register of all of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from e2e.world import World

Play = Callable[["World"], Awaitable[None]]
_REGISTER: dict[str, Scenario] = {}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario: its number, its promise in one sentence, and how it is played.

    `settings` are what a settings file of kube-queue says, by group.
    """

    number: str
    promise: str
    play: Play
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    within: float = 90.0


def scenario(
    number: str,
    promise: str,
    *,
    environment: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    needs: frozenset[str] = frozenset(),
    within: float = 90.0,
) -> Callable[[Play], Play]:
    """Register the function as the scenario of this number; numbers are unique."""

    def register(play: Play) -> Play:
        if number in _REGISTER:
            raise ValueError(f"scenario {number} is registered twice")
        _REGISTER[number] = Scenario(
            number, promise, play, dict(environment or {}), dict(settings or {}), needs, within
        )
        return play

    return register


def all_scenarios() -> list[Scenario]:
    """Every scenario of the package `e2e.scenarios`, by number."""
    import e2e.scenarios

    for module in pkgutil.iter_modules(e2e.scenarios.__path__):
        importlib.import_module(f"e2e.scenarios.{module.name}")
    return [_REGISTER[number] for number in sorted(_REGISTER, key=_natural)]


def _natural(number: str) -> tuple[str, int, str]:
    digits = "".join(char for char in number if char.isdigit())
    head, _, tail = number.partition(digits)
    return head, int(digits), tail
