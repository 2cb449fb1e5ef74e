"""Measurements in processes of their own, so that none pays for what another left in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def in_fresh_process(module: str, *words: str) -> dict[str, Any]:
    """The figures that `python -m module words` prints as JSON. Raises CalledProcessError."""
    command = (sys.executable, "-m", module, *words)
    done = subprocess.run(command, check=True, capture_output=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
