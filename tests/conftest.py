"""What every test stands on."""

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# The quick suite tries the same examples every time: it says the same of the same code. New ones
# are looked for with KUBE_QUEUE_EXPLORE=1, which also keeps what it found.
settings.register_profile("quick", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("explore" if os.environ.get("KUBE_QUEUE_EXPLORE") else "quick")


@pytest.fixture(autouse=True)
def log_settings() -> Iterator[None]:
    """A test that sets up the log, as whoever plays a whole process does, does so for itself."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
