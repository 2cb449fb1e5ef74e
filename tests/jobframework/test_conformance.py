"""The checks that every extension must pass find what they are there to find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.conformance import Sample, check, merged
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, PodSet
from kube_queue_extensions.tfjob import TFJobExtension
from tests.jobframework.builders import a_tfjob, conditions

SAMPLES = (
    Sample(a_tfjob(), Hold.MARK, asks={"cpu": "3", "memory": "3Gi"}),
    Sample({**a_tfjob(held=False), "status": {"conditions": conditions("Running")}}, running=True),
    Sample(
        {**a_tfjob(held=False), "status": {"conditions": conditions("Failed")}}, succeeded=False
    ),
    Sample(
        {**a_tfjob(held=False), "status": {"conditions": conditions("Succeeded")}}, succeeded=True
    ),
)


def test_a_sound_extension_breaks_no_rule() -> None:
    assert check(TFJobExtension(), SAMPLES) == ()


def test_samples_must_show_every_state() -> None:
    (first, *_rest) = check(TFJobExtension(), SAMPLES[:1])
    assert "samples lack" in first


class Fragile(TFJobExtension):
    """Trusts what people write."""

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        count = int(manifest["spec"]["tfReplicaSpecs"]["Worker"]["replicas"])
        return (PodSet("Worker", count, "spec", requests=ResourceVector.of({"cpu": 1000})),)


class Forgetful(TFJobExtension):
    """Does not release."""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        return {}


class Scribbling(TFJobExtension):
    """Changes what it was given."""

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        manifest["metadata"]["seen"] = True
        return super().state(manifest)


class Restless(TFJobExtension):
    """Is never satisfied with its own condition."""

    def queuing(self, manifest: Mapping[str, Any], waits: bool, now_text: str) -> JobPatch | None:
        return {"status": {"conditions": []}}


def found(extension: TFJobExtension) -> str:
    return "\n".join(check(extension, SAMPLES))


def test_an_extension_that_falls_over_junk_is_found() -> None:
    assert "raises" in found(Fragile())


def test_a_sample_whose_request_cannot_be_read_is_found() -> None:
    sample = Sample(a_tfjob(Worker=-1), Hold.MARK, asks={"cpu": "3"})
    problems = "\n".join(check(TFJobExtension(), (sample, *SAMPLES)))
    assert "its request cannot be read: spec.tfReplicaSpecs.Worker.replicas" in problems


def test_an_extension_whose_release_leaves_the_job_held_is_found() -> None:
    assert "resume leaves the job held" in found(Forgetful())


def test_an_extension_that_changes_manifests_is_found() -> None:
    assert "the manifest was changed" in found(Scribbling())


def test_an_extension_that_is_never_satisfied_is_found() -> None:
    assert "never satisfied" in found(Restless())


def test_merge_patches_follow_rfc_7386() -> None:
    target = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merged(target, {"a": {"b": None, "e": 3}, "d": [2]}) == {"a": {"c": 2, "e": 3}, "d": [2]}
    assert target == {"a": {"b": 1, "c": 2}, "d": [1]}
