"""Documents on stdout as JSON or YAML."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from kube_queue.cli.errors import USAGE, Stop

DOCUMENTS = ("yaml", "json")


def demand_form(form: str, legal: Collection[str]) -> None:
    """The form is one of the legal ones. Raises Stop."""
    if form not in legal:
        named = [name for name in ("wide", *DOCUMENTS) if name in legal]
        choice = f"{', '.join(named[:-1])} or {named[-1]}"
        raise Stop(f"--output: {form!r} is not known here; use {choice}", USAGE)


def print_document(document: Any, form: str) -> None:
    """Print the document as `json`, else as `yaml`."""
    if form == "json":
        print(json.dumps(document, indent=4))
    else:
        import yaml

        print(yaml.safe_dump(document, sort_keys=False), end="")
