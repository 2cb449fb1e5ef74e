"""Property tests judge content, never the speed of the machine they happen to run on."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
