"""Jobs of every built-in kind, as their API servers return them."""

from __future__ import annotations

from typing import Any

from kube_queue.jobframework.conformance import Sample
from kube_queue.jobframework.extension import Hold
from tests.jobframework.builders import a_job, a_template, a_tfjob, conditions


def _with(manifest: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**manifest, **parts}


def _suspended_tfjob() -> dict[str, Any]:
    job = a_tfjob(held=False)
    job["spec"]["runPolicy"] = {"suspend": True, "cleanPodPolicy": "None"}
    job["status"] = {"conditions": conditions("Created", "Suspended")}
    return job


TFJOBS = (
    Sample(a_tfjob(), Hold.MARK, asks={"cpu": "3", "memory": "3Gi"}),
    Sample(_suspended_tfjob(), Hold.SPEC, asks={"cpu": "3", "memory": "3Gi"}),
    Sample(a_tfjob(held=False)),
    Sample(
        _with(
            a_tfjob(held=False),
            status={
                "conditions": conditions("Created", "Running"),
                "replicaStatuses": {"PS": {"active": 1}, "Worker": {"active": 2}},
            },
        ),
        running=True,
    ),
    Sample(
        _with(
            a_tfjob(held=False),
            status={
                "conditions": conditions("Created")
                + conditions("Running", status="False")
                + conditions("Succeeded", reason="TFJobSucceeded", message="done")
            },
        ),
        succeeded=True,
    ),
    Sample(
        _with(a_tfjob(held=False), status={"conditions": conditions("Created", "Failed")}),
        succeeded=False,
    ),
)

_INIT = a_template(
    "100m",
    initContainers=[
        {"name": "pull", "resources": {"requests": {"cpu": "300m", "memory": "64Mi"}}},
        {
            "name": "proxy",
            "restartPolicy": "Always",
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
        },
    ],
)

JOBS = (
    Sample(a_job(), Hold.SPEC, asks={"cpu": "100m", "memory": "1Gi"}),
    Sample(a_job(parallelism=4, completions=3), Hold.SPEC, asks={"cpu": "300m", "memory": "3Gi"}),
    Sample(
        _with(a_job(parallelism=4, completions=5), status={"succeeded": 3}),
        Hold.SPEC,
        asks={"cpu": "200m", "memory": "2Gi"},
    ),
    Sample(
        a_job(parallelism=2, completions=None),
        Hold.SPEC,
        asks={"cpu": "200m", "memory": "2Gi"},
    ),
    Sample(a_job(template=_INIT), Hold.SPEC, asks={"cpu": "300m", "memory": "1056Mi"}),
    Sample(_with(a_job(held=False), status={"active": 1, "ready": 0})),
    Sample(_with(a_job(held=False), status={"active": 1, "ready": 1}), running=True),
    Sample(_with(a_job(held=False), status={"active": 1}), running=True),
    Sample(
        _with(
            a_job(held=False), status={"conditions": conditions("SuccessCriteriaMet", "Complete")}
        ),
        succeeded=True,
    ),
    Sample(
        _with(
            a_job(held=False),
            status={
                "conditions": conditions("FailureTarget", "Failed", reason="BackoffLimitExceeded")
            },
        ),
        succeeded=False,
    ),
)
