"""Deployment, ReplicaSet, StatefulSet, DaemonSet: defaults, selectors, and what may change."""

from collections.abc import Iterable
from typing import Any, ClassVar

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.patches import same
from kube_queue.apiserver.rules.base import IDLE, Rules, count_errors
from kube_queue.apiserver.rules.pods import default_pod_spec, pod_spec_errors
from kube_queue.apiserver.selectors import selects
from kube_queue.apiserver.status import (
    FieldError,
    field_forbidden,
    field_invalid,
    field_required,
    field_unsupported,
    show,
)
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_HISTORY = {"revisionHistoryLimit": 10}
_COUNTS = ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
_SET_MAY_CHANGE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


class _WorkloadRules(Rules):
    """A selector that never changes and a template it selects."""

    counts_spec_only = True
    defaults: ClassVar[dict[str, Any]]
    strategy = ""
    """The field that says how pods are replaced; "" when there is none."""
    rolling: ClassVar[dict[str, Any]]
    counts: ClassVar[tuple[str, ...]] = ()
    """The numbers a status always has."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        for key, value in self.defaults.items():
            spec.setdefault(key, value)
        if self.strategy:
            chosen = spec.setdefault(self.strategy, {})
            if chosen.setdefault("type", "RollingUpdate") == "RollingUpdate":
                chosen["rollingUpdate"] = {**self.rolling, **chosen.get("rollingUpdate", {})}
        template = spec.setdefault("template", {})
        default_pod_spec(template.setdefault("spec", {}), "spec.template.spec")
        if old is None:
            obj["status"] = dict.fromkeys(self.counts, 0)

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        spec = obj["spec"]
        found = count_errors(spec, _COUNTS)
        found += _selector_errors(kind, spec) + _template_errors(kind, spec)
        if self.strategy:
            found += _strategy_errors(spec[self.strategy], f"spec.{self.strategy}", kind)
        if old is not None:
            found += self.frozen(spec, old["spec"])
        return found

    def frozen(self, spec: Object, old: Object) -> list[FieldError]:
        """What of the spec was changed that never changes."""
        if same(spec.get("selector"), old.get("selector")):
            return []
        return [field_invalid("spec.selector", spec.get("selector"), "field is immutable")]


class DeploymentRules(_WorkloadRules):
    """A deployment rolls a quarter at a time and says after ten minutes that it does not."""

    defaults: ClassVar = {"replicas": 1, **_HISTORY, "progressDeadlineSeconds": 600}
    strategy = "strategy"
    rolling: ClassVar = {"maxUnavailable": "25%", "maxSurge": "25%"}

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        found = super().judge(world, kind, obj, old)
        spec = obj["spec"]
        deadline = spec["progressDeadlineSeconds"]
        if deadline <= spec.get("minReadySeconds", 0):
            path = "spec.progressDeadlineSeconds"
            found.append(field_invalid(path, deadline, "must be greater than minReadySeconds"))
        return found


class ReplicaSetRules(_WorkloadRules):
    """A replica set keeps a number of pods."""

    counts: ClassVar = ("replicas",)
    defaults: ClassVar = {"replicas": 1}


class _IdleWorkloadRules(_WorkloadRules):
    """A kind that no controller here acts upon."""

    def warnings(self, obj: Object) -> Iterable[str]:
        yield IDLE.format(obj["kind"])


class DaemonSetRules(_IdleWorkloadRules):
    """A daemon set counts the generations of its template."""

    defaults: ClassVar = _HISTORY
    strategy = "updateStrategy"
    rolling: ClassVar = {"maxUnavailable": 1, "maxSurge": 0}
    counts: ClassVar = (
        "currentNumberScheduled",
        "desiredNumberScheduled",
        "numberMisscheduled",
        "numberReady",
    )

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        super().prepare(world, kind, obj, old)
        notes = obj["metadata"].setdefault("annotations", {})
        count = 1
        if old is not None:
            before = old["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "")
            count = int(before) if before.isdecimal() else 1
            count += not same(obj["spec"]["template"], old["spec"]["template"])
        notes[TEMPLATE_GENERATION] = str(count)


class StatefulSetRules(_IdleWorkloadRules):
    """A stateful set changes in few ways."""

    defaults: ClassVar = {"replicas": 1, **_HISTORY, "podManagementPolicy": "OrderedReady"}
    strategy = "updateStrategy"
    rolling: ClassVar = {"partition": 0}
    counts: ClassVar = ("replicas",)

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        super().prepare(world, kind, obj, old)
        kept = obj["spec"].setdefault("persistentVolumeClaimRetentionPolicy", {})
        for key in ("whenDeleted", "whenScaled"):
            kept.setdefault(key, "Retain")

    def frozen(self, spec: Object, old: Object) -> list[FieldError]:
        fixed, before = (
            {key: value for key, value in each.items() if key not in _SET_MAY_CHANGE}
            for each in (spec, old)
        )
        if same(fixed, before):
            return []
        *most, last = (f"'{key}'" for key in _SET_MAY_CHANGE)
        return [
            field_forbidden(
                "spec",
                "updates to statefulset spec for fields other than "
                f"{', '.join(most)} and {last} are forbidden",
            )
        ]


def _selector_errors(kind: Kind, spec: Object) -> list[FieldError]:
    selector = spec.get("selector")
    if selector is None:
        return [field_required("spec.selector")]
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        named = "deployment" if kind.kind == "ReplicaSet" else kind.kind.lower()
        return [field_invalid("spec.selector", selector, f"empty selector is invalid for {named}")]
    labels = spec["template"].get("metadata", {}).get("labels", {})
    if selects(selector, labels):
        return []
    problem = "`selector` does not match template `labels`"
    return [field_invalid("spec.template.metadata.labels", labels, problem)]


def _template_errors(kind: Kind, spec: Object) -> list[FieldError]:
    pod, path = spec["template"]["spec"], "spec.template.spec"
    found = pod_spec_errors(pod, path)
    if pod["restartPolicy"] in ("OnFailure", "Never"):
        found.append(field_unsupported(f"{path}.restartPolicy", pod["restartPolicy"], ["Always"]))
    if "activeDeadlineSeconds" in pod:
        named = "ReplicaSet" if kind.kind == "Deployment" else kind.kind
        problem = f"activeDeadlineSeconds in {named} is not Supported"
        found.append(field_forbidden(f"{path}.activeDeadlineSeconds", problem))
    return found


def _strategy_errors(strategy: Object, path: str, kind: Kind) -> list[FieldError]:
    other = "Recreate" if kind.kind == "Deployment" else "OnDelete"
    if strategy["type"] not in ("RollingUpdate", other):
        allowed = [other, "RollingUpdate"]
        return [field_unsupported(f"{path}.type", strategy["type"], allowed)]
    rolling: Object = strategy.get("rollingUpdate", {})
    if strategy["type"] == other:
        if "rollingUpdate" not in strategy:
            return []
        problem = f"may not be specified when strategy `type` is '{other}'"
        return [field_forbidden(f"{path}.rollingUpdate", problem)]
    found = []
    for key, value in rolling.items():
        text = show(value).strip('"')
        if not text.removesuffix("%").isdecimal() or (type(value) is str and text[-1:] != "%"):
            problem = (
                "must be greater than or equal to 0"
                if type(value) is int
                else "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            )
            found.append(field_invalid(f"{path}.rollingUpdate.{key}", value, problem))
    return found or _stuck(rolling, path)


def _stuck(rolling: Object, path: str) -> list[FieldError]:
    amounts = [rolling.get(key) for key in ("maxUnavailable", "maxSurge")]
    if None in amounts or any(value not in (0, "0%") for value in amounts):
        return []
    problem = "may not be 0 when `maxSurge` is 0"
    return [field_invalid(f"{path}.rollingUpdate.maxUnavailable", amounts[0], problem)]
