"""Every built-in kind keeps the rules: one line a kind."""

from __future__ import annotations

import pytest

from kube_queue.jobframework.conformance import Sample, check
from kube_queue.jobframework.registry import load_extensions
from tests.extensions import samples

SAMPLES = {
    "tfjob": samples.TFJOBS,
    "pytorchjob": samples.PYTORCHJOBS,
    "job": samples.JOBS,
    "sparkapp": samples.SPARKAPPS,
    "rayjob": samples.RAYJOBS,
    "mpiv1": samples.MPIJOBS,
    "workflow": samples.WORKFLOWS,
    "xgboostjob": samples.XGBOOSTJOBS,
    "paddlejob": samples.PADDLEJOBS,
    "jaxjob": samples.JAXJOBS,
    "mxjob": samples.MXJOBS,
    "jobset": samples.JOBSETS,
    "trainjob": samples.TRAINJOBS,
    "raycluster": samples.RAYCLUSTERS,
    "appwrapper": samples.APPWRAPPERS,
    "pod": samples.PODS,
    "podgroup": samples.PODGROUPS,
    "leaderworkerset": samples.LEADERWORKERSETS,
}


@pytest.mark.parametrize(("name", "shown"), SAMPLES.items())
def test_the_kind_keeps_every_rule(name: str, shown: tuple[Sample, ...]) -> None:
    (extension,) = load_extensions(name)
    assert check(extension, shown) == ()
