"""PodDisruptionBudget: one of two bounds, a number or a percentage."""

import re
from typing import Any

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.status import FieldError, field_invalid, field_unsupported
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World

_PERCENT = re.compile(r"(\d{1,9})%", re.ASCII)
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
    "'93%', regex used for validation is '[0-9]+%')"
)
_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudgetRules(Rules):
    """A budget's status is the server's."""

    counts_spec_only = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        if old is None:
            counts = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
            obj["status"] = dict.fromkeys(counts, 0)

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        spec = obj.get("spec", {})
        found: list[FieldError] = []
        if "minAvailable" in spec and "maxUnavailable" in spec:
            problem = "minAvailable and maxUnavailable cannot be both set"
            found.append(field_invalid("spec", spec, problem))
        for key in ("minAvailable", "maxUnavailable"):
            if key in spec:
                problem = _bound_problem(spec[key])
                found += [field_invalid(f"spec.{key}", spec[key], problem)] if problem else []
        policy = spec.get("unhealthyPodEvictionPolicy", _POLICIES[0])
        if policy not in _POLICIES:
            found.append(field_unsupported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES))
        return found


def _bound_problem(value: Any) -> str:
    if type(value) is int:
        return "" if value >= 0 else "must be greater than or equal to 0"
    match = _PERCENT.fullmatch(value)
    if match is None:
        return _PERCENT_RULE
    return "" if int(match[1]) <= 100 else "must not be greater than 100%"
