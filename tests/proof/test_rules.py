"""The page of rules names code and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| (?P<rule>.+) \| `(?P<code>[^`]+)` \| `(?P<file>[^`]+)` (?P<test>.+) \|")


def rows() -> list[tuple[str, str, str, str]]:
    lines = (ROOT / "docs" / "rules.md").read_text().splitlines()
    cells = [line for line in lines if line.startswith("| ") and not line.startswith("| Rule ")]
    read = [ROW.fullmatch(line) for line in cells]
    assert None not in read, "a row that names no code or no test"
    return [(row["rule"], row["code"], row["file"], row["test"]) for row in read if row]


def test_every_rule_is_named_once() -> None:
    rules = [rule for rule, *_ in rows()]
    assert len(rules) > 80
    assert len(rules) == len(set(rules))


@pytest.mark.parametrize(("rule", "code", "file", "test"), rows(), ids=lambda text: "")
def test_a_rule_is_found_in_code_and_in_a_test_of_its_name(
    rule: str, code: str, file: str, test: str
) -> None:
    assert (ROOT / "kube_queue" / code).is_file(), rule
    name = f"def test_{test.replace(' ', '_')}("
    assert name in (ROOT / "tests" / file).read_text(), rule
