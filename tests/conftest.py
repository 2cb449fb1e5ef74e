"""What every test stands on."""

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import is_hypothesis_test, settings

# The same examples every time: a suite says the same of the same code. The quick one tries a few,
# the long one all. New ones are looked for with KUBE_QUEUE_EXPLORE=1, which also keeps what it
# found. Nothing here judges the speed of the machine.
settings.register_profile("quick", derandomize=True, deadline=None, database=None, max_examples=35)
settings.register_profile("long", settings.get_profile("quick"), max_examples=100)
settings.register_profile("explore", deadline=None, print_blob=True)


def _is_long(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr") == "long")


def pytest_configure(config: pytest.Config) -> None:
    """The examples are as many as the suite that runs tries."""
    suite = "long" if _is_long(config) else "quick"
    settings.load_profile("explore" if os.environ.get("KUBE_QUEUE_EXPLORE") else suite)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What tries examples belongs to both suites: the long one tries more of them."""
    if _is_long(config):
        for item in items:
            if is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def log_settings() -> Iterator[None]:
    """A test that sets up the log, as whoever plays a whole process does, does so for itself."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
