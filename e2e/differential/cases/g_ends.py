"""How objects go: owners and dependents, propagation, namespaces."""

from __future__ import annotations

from typing import Any

from e2e.differential.case import Case, case, delete, get, gone, merge, post, subject, watch
from e2e.differential.objects import config_map, job, namespace, owner, pod, secret


def child(name: str = "child", *, of: int = 1, **more: Any) -> dict[str, Any]:
    """A ConfigMap owned by the secret of that request."""
    reference = owner("Secret", "a", f"<{of}.metadata.uid>", **more)
    return config_map(name, ownerReferences=[reference])


def _family(name: str, *after: Any, **more: Any) -> Case:
    return case(name, post("secrets", secret()), post("configmaps", child(**more)), *after)


def _policy(policy: str) -> Any:
    return delete("secrets/a", {"propagationPolicy": policy})


NEVER = owner("Secret", "absent", "00000000-0000-4000-8000-000000000000")
# Kubernetes' collector learns of objects a moment after they are there, those of one kind in order:
# once it has collected the last, it knows of those before, and a policy means them too.
KNOWN = (
    post("configmaps", config_map("last", ownerReferences=[NEVER])), gone("configmaps/last"),
)  # fmt: skip
KNOWN_POD = (post("pods", pod("last", meta={"ownerReferences": [NEVER]})), gone("pods/last"))

GARBAGE = subject(
    "garbage collection",
    _family("by default", delete("secrets/a"), gone("configmaps/child")),
    _family("in the background", _policy("Background"), gone("secrets/a"),
             gone("configmaps/child")),
    _family("in the foreground", _policy("Foreground"), gone("configmaps/child"),
             gone("secrets/a")),
    _family("in the foreground, blocked", _policy("Foreground"), gone("configmaps/child"),
            gone("secrets/a"), blockOwnerDeletion=True),
    _family("orphaned", *KNOWN, _policy("Orphan"), gone("secrets/a"), get("configmaps/child")),
    _family("orphaned by the old field", *KNOWN, delete("secrets/a", {"orphanDependents": True}),
            gone("secrets/a"), get("configmaps/child")),
    _family("collected by the old field", delete("secrets/a?orphanDependents=false"),
            gone("configmaps/child")),
    case("an owner that waits", post("secrets", secret()), post("configmaps", {
        **child(blockOwnerDeletion=True), "metadata": {
            **child(blockOwnerDeletion=True)["metadata"], "finalizers": ["x.y/a"]}}),
         *KNOWN, _policy("Foreground"),
         get("secrets/a", only="metadata.finalizers metadata.generation "
                                    "metadata.deletionGracePeriodSeconds"),
         get("configmaps/child", until="metadata.deletionGracePeriodSeconds=0"), get("secrets/a"),
         merge("configmaps/child", {"metadata": {"finalizers": None}}), gone("configmaps/child"),
         gone("secrets/a")),
    case("nothing to orphan", post("secrets", secret()), _policy("Orphan"), gone("secrets/a")),
    case("nothing to wait for", post("secrets", secret()), _policy("Foreground"),
         gone("secrets/a")),
    case("an owner that never was",
         post("configmaps", config_map("child", ownerReferences=[NEVER])),
         gone("configmaps/child")),
    case("an owner of an unknown kind", post("configmaps", config_map("child", ownerReferences=[
        owner("Gadget", "absent", "00000000-0000-4000-8000-000000000000", "x.example.com/v1")])),
         get("configmaps/child")),
    case("one owner of two", post("secrets", secret()), post("secrets", secret("b")),
         post("configmaps", config_map("child", ownerReferences=[
             owner("Secret", "a", "<1.metadata.uid>"), owner("Secret", "b", "<2.metadata.uid>")])),
         delete("secrets/a"), get("configmaps/child", until="metadata.ownerReferences.0.name=b"),
         delete("secrets/b"), gone("configmaps/child")),
    case("three generations", post("secrets", secret()), post("configmaps", child()),
         post("configmaps", config_map("grandchild", ownerReferences=[
             owner("ConfigMap", "child", "<2.metadata.uid>")])), delete("secrets/a"),
         gone("configmaps/child"), gone("configmaps/grandchild")),
    case("three generations in the foreground", post("secrets", secret()),
         post("configmaps", child(blockOwnerDeletion=True)),
         post("configmaps", config_map("grandchild", ownerReferences=[
             owner("ConfigMap", "child", "<2.metadata.uid>", blockOwnerDeletion=True)])), *KNOWN,
         _policy("Foreground"), gone("secrets/a"), get("configmaps/grandchild")),
    case("two controllers", post("configmaps", config_map(ownerReferences=[
        owner("A", "a", "1", controller=True), owner("B", "b", "2", controller=True)]))),
    case("a job and its pod", post("jobs", job(suspend=True)), post("pods", pod("p", meta={
        "ownerReferences": [owner("Job", "a", "<1.metadata.uid>", "batch/v1", controller=True)]})),
         delete("jobs/a?propagationPolicy=Background"), gone("jobs/a"), gone("pods/p")),
    case("a job that leaves its pod", post("jobs", job(suspend=True)), post("pods", pod("p", meta={
        "ownerReferences": [owner("Job", "a", "<1.metadata.uid>", "batch/v1", controller=True)]})),
         *KNOWN_POD, delete("jobs/a"), gone("jobs/a"),
         get("pods/p", only="metadata.ownerReferences")),
    case("a collection in the foreground", post("secrets", secret()), post("configmaps", child()),
         delete("secrets?propagationPolicy=Foreground"), gone("secrets/a"),
         gone("configmaps/child")),
    case("a finalizer that a policy adds", post("secrets", secret()), post("configmaps", {
        **child(blockOwnerDeletion=True), "metadata": {
            **child(blockOwnerDeletion=True)["metadata"], "finalizers": ["x.y/a"]}}),
         *KNOWN, _policy("Foreground"), _policy("Background"),
         get("secrets/a", until=404)),
)  # fmt: skip

SPACE = "namespaces/{ns}-x"
INSIDE = "/api/v1/namespaces/{ns}-x/configmaps"
# The rest of a namespace that ends changes while its controller says what it still holds.
ENDING = "metadata.finalizers spec status.phase metadata.deletionGracePeriodSeconds"
HELD = {"metadata": {"name": "held", "finalizers": ["x.y/a"]}}

NAMESPACES = subject(
    "namespaces",
    case("empty and deleted", post("namespaces", namespace("{ns}-x")), delete(SPACE), gone(SPACE)),
    case("deleted with what is in it", post("namespaces", namespace("{ns}-x")),
         post(INSIDE, config_map()), delete(SPACE), gone(SPACE), get(f"{INSIDE}/a")),
    case("held by an object", post("namespaces", namespace("{ns}-x")), post(INSIDE, HELD),
         delete(SPACE), get(SPACE, only=ENDING),
         get(f"{INSIDE}/held", until="metadata.deletionGracePeriodSeconds=0"),
         post(INSIDE, config_map("late")), delete(SPACE, only=ENDING),
         merge(f"{INSIDE}/held", {"metadata": {"finalizers": None}}), gone(SPACE)),
    case("held by its own finalizer", post("namespaces", namespace(
        "{ns}-x", finalizers=["x.y/a"])), delete(SPACE),
         get(SPACE, until="spec.finalizers=None", only="metadata.finalizers status.phase"),
         merge(SPACE, {"metadata": {"finalizers": None}}), gone(SPACE)),
    case("a new one of the name", post("namespaces", namespace("{ns}-x")), delete(SPACE),
         gone(SPACE), post("namespaces", namespace("{ns}-x"))),
    case("by a watch", post("namespaces", namespace("{ns}-x")), delete(SPACE), gone(SPACE),
         watch("namespaces?resourceVersion=<1.metadata.resourceVersion>"
               "&fieldSelector=metadata.name={ns}-x", 1)),
    case("the label of its name", post("namespaces", namespace("{ns}-x", labels={
        "kubernetes.io/metadata.name": "other", "a": "b"})),
         merge(SPACE, {"metadata": {"labels": {"kubernetes.io/metadata.name": None}}})),
    case("its phase through its object", post("namespaces", {
        **namespace("{ns}-x"), "status": {"phase": "Terminating"}}),
         merge(SPACE, {"status": {"phase": "Terminating"}}), merge(SPACE, {"spec": {
             "finalizers": []}})),
    case("all at once", delete("namespaces")),
    case("dry", post("namespaces", namespace("{ns}-x")), delete(f"{SPACE}?dryRun=All"),
         get(SPACE, only="status metadata.deletionTimestamp")),
)  # fmt: skip

CASES = GARBAGE + NAMESPACES
