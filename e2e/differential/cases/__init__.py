"""The cases, grouped by subject: a module's CASES are one subject or a few that belong together."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from e2e.differential.case import Case


def all_cases() -> tuple[Case, ...]:
    """Every case, in the order of module and place."""
    names = sorted(found.name for found in iter_modules(__path__))
    modules = (import_module(f"{__name__}.{name}") for name in names)
    return tuple(case for module in modules for case in getattr(module, "CASES", ()))
