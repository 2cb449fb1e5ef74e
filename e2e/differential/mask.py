"""What differs between two servers by nature, replaced by what it says all the same.

Holds: Masks. A uid becomes `<uid 1>`, in the order of first appearance in a case, so that two
answers about one object still agree with each other; resourceVersions of objects likewise, so that
a write that changes nothing can be told from one that does. What is not of the right form stays as
it is and is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from e2e.differential.server import Answer

_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
_NUMBER = re.compile(r"[1-9]\d*")
_AGE = re.compile(r"(?:\d+[smhd])+|<invalid>")
_VERSIONS_IN_TEXT = (
    (re.compile(r"(too (?:old|large) resource version: )\d+( \()\d+(\))", re.I), r"\1N\2N\3"),
    (re.compile(r"(Too large resource version: )\d+(, current: )\d+"), r"\1N\2N"),
    (re.compile(r"(the ResourceVersion in (?:the precondition|record) \()\d+(\))"), r"\1N\2"),
)
_BASE = 58
"""Of the text that a name begins with, so much is used."""
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
# The order of fields inside is another one in every language.
_VALUE = re.compile(r"Invalid value: (?:[{[].*[}\]]|null): ", re.DOTALL)
_LISTS = ("items", "rows")


class Masks:
    """The masks of one case on one server.

    `fields`: metadata.managedFields stays. `bases`: what names are generated from.
    """

    def __init__(self, *, fields: bool = False, bases: Iterable[str] = ()) -> None:
        self._fields = fields
        self._made = [re.compile(re.escape(base[:_BASE]) + _SUFFIX) for base in bases]
        self._uids: dict[str, str] = {}
        self._versions: dict[str, str] = {}

    def answer(self, answer: Answer) -> dict[str, Any]:
        """The answer as it is compared."""
        seen: dict[str, Any] = {"status": answer.status, "type": answer.media}
        if answer.warnings:
            seen["warnings"] = [self._text(text) for text in answer.warnings]
        if answer.late:
            seen["late"] = answer.late
        if answer.events is None:
            seen["body"] = self.value(answer.body)
        else:
            seen["events"] = [self.value(event) for event in answer.events]
        return seen

    def value(self, value: Any) -> Any:
        """The value with everything volatile masked."""
        if isinstance(value, dict):
            many = any(isinstance(value.get(key), list) for key in _LISTS) or (
                value.get("type") == "BOOKMARK"
            )
            return {
                self._text(key): self._member(key, item, many)
                for key, item in sorted(value.items())
                if self._fields or key != "managedFields"
            }
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _member(self, key: str, item: Any, many: bool) -> Any:
        if many and key in ("metadata", "object") and isinstance(item, dict):
            return self._list_meta(item) if key == "metadata" else self._bookmark(item)
        if key == "resourceVersion" and isinstance(item, str) and _NUMBER.fullmatch(item):
            return self._named(item, self._versions, "version")
        if key == "rows" and isinstance(item, list):
            return [self._row(row) for row in item]
        return self.value(item)

    def _list_meta(self, item: dict[str, Any]) -> dict[str, Any]:
        masked = dict(item)
        if _NUMBER.fullmatch(str(item.get("resourceVersion", ""))):
            masked["resourceVersion"] = "<version>"
        if item.get("continue"):
            masked["continue"] = "<continue>"
        elif item.get("continue") == "":
            del masked["continue"]
        return masked

    def _bookmark(self, item: dict[str, Any]) -> Any:
        return {**item, "metadata": self._list_meta(item.get("metadata", {}))}

    def _row(self, row: Any) -> Any:
        masked = self.value(row)
        if isinstance(masked, dict) and isinstance(masked.get("cells"), list):
            masked["cells"] = [
                "<age>" if isinstance(cell, str) and _AGE.fullmatch(cell) else cell
                for cell in masked["cells"]
            ]
        return masked

    def _text(self, text: str) -> str:
        for pattern in self._made:
            text = pattern.sub("<generated>", text)
        text = _UID.sub(lambda found: self._named(found[0], self._uids, "uid"), text)
        text = _TIME.sub(lambda found: "<microtime>" if found[1] else "<time>", text)
        text = _VALUE.sub("Invalid value: <value>: ", text)
        for pattern, shown in _VERSIONS_IN_TEXT:
            text = pattern.sub(shown, text)
        return text

    @staticmethod
    def _named(found: str, known: dict[str, str], what: str) -> str:
        return known.setdefault(found, f"<{what} {len(known) + 1}>")
