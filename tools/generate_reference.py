"""Writes docs/reference/{settings,metrics,reasons,labels}.md from the code they describe.

python tools/generate_reference.py           writes the pages
python tools/generate_reference.py --check   says which are stale; exit code 1 if any is
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from kube_queue.api import names
from kube_queue.api.reasons import Reason
from kube_queue.config import switches
from kube_queue.observability.catalogue import METRICS

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written by tools/generate_reference.py from the code. Do not edit. -->"

FORMS = {"bool": "`true` or `false`", "int": "whole number", "float": "number", "str": "text"}


def pages() -> dict[str, str]:
    """Every page by file name, as it should be."""
    return {
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "reasons.md": reasons_page(),
        "labels.md": labels_page(),
    }


def settings_page() -> str:
    """The page of settings, one table per group."""
    lines = [
        "# Settings",
        "",
        NOTE,
        "",
        "A flag beats an environment variable, which beats the file of `--config`, which beats the",
        "default. The file is YAML: groups at its top, settings below, for example",
        "",
        "```yaml",
        "controller:",
        "  oversell_rate: 1.2",
        "  tree_validation: strict",
        "```",
        "",
        "An unknown key is refused with its path, and so is every illegal value, all at once.",
    ]
    group = ""
    for switch in switches():
        here = switch.path.partition(".")[0]
        if here != group:
            group = here
            lines += [
                "",
                f"## {group}",
                "",
                *_head("Setting", "Flag", "Variable", "Value", "Meaning"),
            ]
        value = " or ".join(f"`{word}`" for word in switch.legal) or FORMS[switch.kind]
        lines.append(
            _row(
                f"`{switch.path}`",
                _code(switch.flag),
                _code(switch.env),
                f"{value}, default `{_shown(switch.default)}`",
                switch.doc,
            )
        )
    return _text(lines)


def metrics_page() -> str:
    """The page of metrics."""
    lines = [
        "# Metrics",
        "",
        NOTE,
        "",
        "The controller answers `GET /metrics` in the text format of Prometheus, on the port of",
        "`serving.port`. Times are seconds.",
        "",
        *_head("Metric", "Form", "Labels", "Meaning"),
    ]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(_row(f"`{metric.name}`", metric.form, labels, metric.doc))
    return _text(lines)


def reasons_page() -> str:
    """The page of reasons."""
    lines = [
        "# Reasons",
        "",
        NOTE,
        "",
        "One word says why a unit, queue or tree is in its present state: in `status.reason`, in",
        "conditions, in events and in `kube-queue explain`. The message beside it has the details.",
        "",
        *_head("Reason", "Meaning"),
    ]
    lines += [_row(f"`{reason.value}`", reason.meaning) for reason in Reason]
    return _text(lines)


def labels_page() -> str:
    """The page of labels, annotations and other well-known names."""
    lines = [
        "# Labels, annotations and well-known names",
        "",
        NOTE,
        "",
        "Where several names stand together they mean the same, and the first one present counts.",
    ]
    for section, entries in named_sections():
        lines += ["", f"## {section[0].upper()}{section[1:]}", "", *_head("Name", "Meaning")]
        for value, doc in entries:
            texts = value if isinstance(value, tuple) else (value,)
            shown = ", ".join(f"`{text}`" for text in texts)
            lines.append(_row(shown, doc.replace("``", "`")))
    return _text(lines)


def named_sections() -> Iterator[tuple[str, list[tuple[Any, str]]]]:
    """The constants of api/names.py with their docstrings, under the headings of its comments.

    Raises ValueError for a constant without a docstring.
    """
    source = Path(names.__file__).read_text(encoding="utf-8")
    body = ast.parse(source).body
    headings = {
        number: line.strip("# -\n")
        for number, line in enumerate(source.splitlines(), 1)
        if line.startswith("# --- ")
    }
    found: dict[str, list[tuple[Any, str]]] = {title: [] for title in headings.values()}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        doc = after.value if isinstance(after, ast.Expr) else None
        if not isinstance(doc, ast.Constant) or not isinstance(doc.value, str):
            raise ValueError(f"{node.target.id} has no docstring")
        title = headings[max(number for number in headings if number < node.lineno)]
        found[title].append((getattr(names, node.target.id), doc.value))
    yield from found.items()


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of the pages that are not as they should be."""
    return [
        name
        for name, text in pages().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def write(folder: Path = FOLDER) -> None:
    """Every page is as it should be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|" + "---|" * len(cells)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _shown(default: Any) -> str:
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if default != "" else '""'


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write, or check with --check; the exit code."""
    if arguments == ["--check"]:
        old = stale()
        for name in old:
            print(f"docs/reference/{name} is stale: run python tools/generate_reference.py")
        return 1 if old else 0
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
