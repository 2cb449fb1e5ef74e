"""A command for people logs errors only: what else there is to know, it prints itself."""

from __future__ import annotations

import time

from kube_queue.observability.log import configure_log


def log_only_errors() -> None:
    """From now on this process logs errors and nothing else, on standard error."""
    configure_log(level="error", form="console", clock=time.time)
