"""Differences from Kubernetes that stay, each with its reason; docs/embedded-cluster.md has them.

An entry that no difference meets any more fails a whole run.
"""

from __future__ import annotations

from e2e.differential.accepted.definitions import DEFINITIONS, FIELDS
from e2e.differential.accepted.objects import OBJECTS
from e2e.differential.accepted.requests import REQUESTS
from e2e.differential.compare import Accepted

ACCEPTED: tuple[Accepted, ...] = (*REQUESTS, *OBJECTS, *DEFINITIONS, *FIELDS)
