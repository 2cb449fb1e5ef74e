"""docs/plugins.md, followed to the letter."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from kube_queue.placement import plugins
from tests.placement import builders

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
MODULE = "kube_queue.placement.plugins.max_per_node"


def blocks() -> list[str]:
    """The page's Python, block by block."""
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(r"```(?:python|text)\n(.*?)```", page, re.DOTALL)


def run(source: str, name: str) -> ModuleType:
    """A module of this source."""
    module = ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
    return module


def with_the_line(source: str, line: str, place: str) -> str:
    """The package with the two lines of the page."""
    last = max(re.finditer(r"^from .* import .*\n", source, re.MULTILINE), key=lambda m: m.end())
    source = source[: last.end()] + line + source[last.end() :]
    opening = source.index("= (\n") + len("= (\n")
    return source[:opening] + place + source[opening:]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The test of the page, in a scheduler to which its plug-in was added."""
    code, line, place, test = blocks()
    monkeypatch.setitem(sys.modules, MODULE, run(code, MODULE))
    source = Path(str(plugins.__file__)).read_text(encoding="utf-8")
    added = run(with_the_line(source, line, place), plugins.__name__)
    assert len(added.BASE) == len(plugins.BASE) + 1
    defaults = builders.World.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "plugins", added.BASE)
    return run(test, "test_max_per_node")


def functions_of(module: ModuleType) -> list[Callable[[], None]]:
    return [each for name, each in vars(module).items() if name.startswith("test_")]


def test_the_plug_in_of_the_page_passes_the_test_of_the_page(page: ModuleType) -> None:
    found = functions_of(page)
    assert len(found) == 2
    for each in found:
        each()


def test_the_test_of_the_page_fails_without_the_plug_in() -> None:
    *_, test = blocks()
    with pytest.raises(AssertionError):
        functions_of(run(test, "test_max_per_node"))[0]()


def test_the_page_names_every_plug_in_there_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = [plugin.name for plugin in plugins.BASE if plugin.name not in text]
    assert missing == []
