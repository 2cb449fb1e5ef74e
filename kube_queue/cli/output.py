"""Documents on stdout as JSON or YAML."""

from __future__ import annotations

import json
from typing import Any

from kube_queue.cli.errors import USAGE, Stop


def print_document(document: Any, form: str) -> None:
    """Print the document as `json` or `yaml`. Raises Stop for any other form."""
    if form == "json":
        print(json.dumps(document, indent=4))
    elif form == "yaml":
        import yaml

        print(yaml.safe_dump(document, sort_keys=False), end="")
    else:
        raise Stop(f"--output: {form!r} is not known; use wide, yaml or json", USAGE)
