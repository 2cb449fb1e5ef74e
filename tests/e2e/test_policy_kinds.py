"""The policies that hold jobs at their creation name each kind that has a field for it."""

from __future__ import annotations

from typing import Any

from e2e.scenarios.admission_policy_kinds import REPLICAS
from kube_queue import manifests
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import (
    Hold,
    JobExtension,
    Suspendable,
    Versioned,
)
from kube_queue.jobframework.registry import every_extension, load_extensions
from tests.extensions.test_conformance import SAMPLES


def named(policy: str) -> set[tuple[str, str, str]]:
    """Group, version and plural of all that the policy of this name applies to."""
    found = {
        each["metadata"]["name"]: each["spec"]
        for each in manifests.load("admission-policy.yaml")
        if each["kind"] == "MutatingAdmissionPolicy"
    }
    return {
        (group, version, plural)
        for rule in found[f"kube-queue-{policy}"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for version in rule["apiVersions"]
        for plural in rule["resources"]
    }


def versions(extension: JobExtension) -> tuple[ResourceType, ...]:
    return extension.versions if isinstance(extension, Versioned) else (extension.resource,)


def in_version(manifest: Any, resource: ResourceType) -> bool:
    return bool(manifest["apiVersion"] == resource.api_version)


def has_field(extension: JobExtension, resource: ResourceType) -> bool:
    """Whether jobs of this version are suspended by a field of their spec."""
    held = [each.manifest for each in SAMPLES[extension.name] if each.hold is Hold.MARK]
    job = next((one for one in held if in_version(one, resource)), None)
    if job is None or not isinstance(extension, Suspendable):
        return False
    return "spec" in extension.suspend(job)


def marked() -> list[JobExtension]:
    """The kinds whose jobs an annotation holds, which real operators do not know."""
    return [
        one
        for one in every_extension()
        if any(each.hold is Hold.MARK for each in SAMPLES[one.name])
    ]


def test_every_version_of_a_kind_held_by_annotation_that_has_a_field_for_it_is_named() -> None:
    wanted = {
        (one.group, one.version, one.plural)
        for extension in marked()
        for one in versions(extension)
        if has_field(extension, one)
    }
    assert wanted == named("hold-annotated-jobs") | named("hold-annotated-spark-applications")


def test_every_version_of_rayjob_gets_what_kuberay_demands() -> None:
    (rayjob,) = load_extensions("rayjob")
    wanted = {(one.group, one.version, one.plural) for one in versions(rayjob)}
    assert wanted == named("shut-down-suspended-rayjobs")


def test_the_scenarios_play_every_kubeflow_kind_that_is_named() -> None:
    plurals = {plural for _group, _version, plural in named("hold-annotated-jobs")}
    assert plurals == {f"{kind.lower()}s" for kind in REPLICAS}
