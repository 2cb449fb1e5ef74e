"""Job: defaults, its own selector and labels, and what may change."""

from collections.abc import Iterable

import orjson

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.meta import label_errors
from kube_queue.apiserver.patches import same
from kube_queue.apiserver.rules.base import Rules, count_errors
from kube_queue.apiserver.rules.pods import default_pod_spec, pod_spec_errors
from kube_queue.apiserver.status import (
    FieldError,
    field_invalid,
    field_required,
    field_unsupported,
)
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World

NAME_LABELS = ("job-name", "batch.kubernetes.io/job-name")
UID_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid")
_COUNTS = (
    "parallelism",
    "completions",
    "backoffLimit",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
)
_FIXED = (
    "selector",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)
_MODES = ("NonIndexed", "Indexed")


class JobRules(Rules):
    """A job counts its pods by a selector of its own."""

    counts_spec_only = True
    default_propagation = "Orphan"

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        template = spec.setdefault("template", {})
        _default(obj, spec, template)
        default_pod_spec(template.setdefault("spec", {}), "spec.template.spec")
        if old is None:
            obj["status"] = {}
            if not spec["manualSelector"]:
                _own_selector(obj["metadata"], spec, template)
        labels = template.get("metadata", {}).get("labels")
        if labels and not obj["metadata"].get("labels") and not label_errors(labels, ""):
            obj["metadata"]["labels"] = dict(labels)

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        spec = obj["spec"]
        found = count_errors(spec, _COUNTS)
        if spec["completionMode"] not in _MODES:
            found.append(field_unsupported("spec.completionMode", spec["completionMode"], _MODES))
        elif spec["completionMode"] == "Indexed" and "completions" not in spec:
            found.append(field_required("spec.completions", "when completion mode is Indexed"))
        found += _selector_errors(obj["metadata"], spec)
        if old is None:
            # The job's name becomes a label of its pods: one too long for that is found here.
            labels = spec["template"].get("metadata", {}).get("labels", {})
            found += label_errors(labels, "spec.template.labels")
        found += _template_errors(spec)
        if old is not None:
            found += _frozen(spec, old)
        return found

    def deletion_warnings(self, propagation: str) -> Iterable[str]:
        if not propagation:
            yield (
                "child pods are preserved by default when jobs are deleted; set "
                "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to "
                "suppress this warning"
            )


def _default(obj: Object, spec: Object, template: Object) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    per_index = "backoffLimitPerIndex" in spec
    spec.setdefault("backoffLimit", 2**31 - 1 if per_index else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    strict = "podFailurePolicy" in spec
    spec.setdefault("podReplacementPolicy", "Failed" if strict else "TerminatingOrFailed")


def _own_selector(metadata: Object, spec: Object, template: Object) -> None:
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    for key in NAME_LABELS:
        labels.setdefault(key, metadata.get("name", ""))
    for key in UID_LABELS:
        labels.setdefault(key, metadata["uid"])
    matches = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    matches.setdefault(UID_LABELS[1], metadata["uid"])


def _selector_errors(metadata: Object, spec: Object) -> list[FieldError]:
    labels = spec["template"].get("metadata", {}).get("labels", {})
    matches = spec.get("selector", {}).get("matchLabels")
    if not spec.get("selector"):
        return [field_required("spec.selector")]
    if not spec["manualSelector"] and labels.get(UID_LABELS[1]) != metadata["uid"]:
        return [
            field_invalid(
                "spec.selector",
                spec["selector"],
                "`selector` not auto-generated: its controller-uid is another job's",
            )
        ]
    if matches and any(labels.get(key) != value for key, value in matches.items()):
        return [
            field_invalid(
                "spec.template.metadata.labels",
                labels,
                "`selector` does not match template `labels`",
            )
        ]
    return []


def _template_errors(spec: Object) -> list[FieldError]:
    pod = spec["template"]["spec"]
    path = "spec.template.spec"
    found = pod_spec_errors(pod, path)
    if pod["restartPolicy"] == "Always":
        found.append(field_required(f"{path}.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif "podFailurePolicy" in spec and pod["restartPolicy"] != "Never":
        found.append(
            field_invalid(
                f"{path}.restartPolicy",
                pod["restartPolicy"],
                'only "Never" is supported when podFailurePolicy is specified',
            )
        )
    return found


def _frozen(spec: Object, old_job: Object) -> list[FieldError]:
    old = old_job["spec"]
    fixed = [key for key in _FIXED if not same(spec.get(key), old.get(key))]
    elastic = spec["completionMode"] == "Indexed" and spec.get("completions") == spec.get(
        "parallelism"
    )
    if spec.get("completions") != old.get("completions") and not elastic:
        fixed.append("completions")
    found = [field_invalid(f"spec.{key}", spec.get(key), "field is immutable") for key in fixed]
    may_direct = bool(old.get("suspend")) and _not_running(old_job)
    if not same(_masked(spec["template"], may_direct), _masked(old["template"], may_direct)):
        found.append(field_invalid("spec.template.spec", spec["template"], "field is immutable"))
    return found


def _not_running(job: Object) -> bool:
    status = job.get("status", {})
    suspended = any(
        condition.get("type") == "Suspended" and condition.get("status") == "True"
        for condition in status.get("conditions", ())
    )
    return not status.get("active") and (suspended or not status.get("startTime"))


def _masked(template: Object, may_direct: bool) -> Object:
    """The template without what a job that does not run may still change."""
    masked: Object = orjson.loads(orjson.dumps(template))
    if not may_direct:
        return masked
    spec = masked["spec"]
    for key in ("nodeSelector", "tolerations", "schedulingGates"):
        spec.pop(key, None)
    affinity = spec.get("affinity")
    if affinity is not None:
        affinity.pop("nodeAffinity", None)
        if not affinity:
            del spec["affinity"]
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        container.pop("resources", None)
    metadata = masked.setdefault("metadata", {})
    metadata.pop("labels", None)
    metadata.pop("annotations", None)
    return masked
