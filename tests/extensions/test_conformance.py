"""Every built-in kind keeps the rules: one line a kind."""

from __future__ import annotations

from kube_queue.jobframework.conformance import check
from kube_queue_extensions.job import JobExtension
from kube_queue_extensions.tfjob import TFJobExtension
from tests.extensions import samples


def test_tfjob() -> None:
    assert check(TFJobExtension(), samples.TFJOBS) == ()


def test_job() -> None:
    assert check(JobExtension(), samples.JOBS) == ()
