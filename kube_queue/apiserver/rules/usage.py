"""What an object uses of a ResourceQuota, counted as Kubernetes counts it.

Holds: Amount, Amounts, added, pod_amounts, usage, countable, missing_requests, fits_scopes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kube_queue.apiserver.meta import seconds
from kube_queue.apiserver.rules.quantities import amount, written
from kube_queue.apiserver.store import Object

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_REQUIRED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
_POD_LEVEL = ("cpu", "memory")
_ENDED = ("Failed", "Succeeded")
_CLASS = ".storageclass.storage.k8s.io/"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_NAMES = ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity, and whether it is written with binary suffixes."""

    number: Fraction
    binary: bool = False

    @staticmethod
    def read(text: str) -> "Amount":
        """The amount of a canonical quantity."""
        return Amount(amount(text), text.endswith("i"))

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.number + other.number, self.binary if self.number else other.binary)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.number - other.number, self.binary if self.number else other.binary)

    def __str__(self) -> str:
        return written(self.number, binary=self.binary)


Amounts = dict[str, Amount]
ZERO, ONE = Amount(Fraction(0)), Amount(Fraction(1))


def added(one: Mapping[str, Amount], other: Mapping[str, Amount]) -> Amounts:
    """The sums, name by name."""
    return {**one, **{name: one.get(name, ZERO) + value for name, value in other.items()}}


def _greatest(one: Amounts, other: Amounts) -> Amounts:
    larger = {
        name: value
        for name, value in other.items()
        if name not in one or value.number > one[name].number
    }
    return {**one, **larger}


def pod_amounts(spec: Object, what: str) -> Amounts:
    """The `requests` or `limits` of a whole pod."""
    total: Amounts = {}
    for container in spec.get("containers", ()):
        total = added(total, _read(container, what))
    starting: Amounts = {}
    beside: Amounts = {}
    for container in spec.get("initContainers", ()):
        own = _read(container, what)
        if container.get("restartPolicy") == "Always":
            total, beside = added(total, own), added(beside, own)
            starting = _greatest(starting, beside)
        else:
            starting = _greatest(starting, added(own, beside))
    total = _greatest(total, starting)
    for name, value in _read(spec, what).items():
        if name in _POD_LEVEL or name.startswith("hugepages-"):
            total[name] = value
    overhead = {name: Amount.read(text) for name, text in spec.get("overhead", {}).items()}
    if what == "limits":
        overhead = {name: value for name, value in overhead.items() if name in total}
    return added(total, overhead)


def _read(holder: Object, what: str) -> Amounts:
    stated = holder.get("resources", {}).get(what, {})
    return {name: Amount.read(text) for name, text in stated.items()}


def countable(group: str, plural: str, hard: Iterable[str]) -> bool:
    """Whether a quota of those names may count objects of that resource."""
    if f"count/{plural}{f'.{group}' if group else ''}" in hard:
        return True
    return not group and plural in (*_OLD_NAMES, "pods", "services", "persistentvolumeclaims")


def usage(group: str, plural: str, obj: Object, now: float) -> Amounts:
    """What the object uses, under every name a quota may count it by; `now` in seconds."""
    used: Amounts = {f"count/{plural}.{group}" if group else f"count/{plural}": ONE}
    if group:
        return used
    if plural in _OLD_NAMES:
        used[plural] = ONE
    elif plural == "pods" and not _over(obj, now):
        used |= _pod_usage(obj)
    elif plural == "services":
        used |= _service_usage(obj.get("spec", {}))
    elif plural == "persistentvolumeclaims":
        used |= _claim_usage(obj)
    return used


def _over(pod: Object, now: float) -> bool:
    metadata = pod["metadata"]
    if pod.get("status", {}).get("phase") in _ENDED:
        return True
    if "deletionTimestamp" not in metadata or "deletionGracePeriodSeconds" not in metadata:
        return False
    grace: float = metadata["deletionGracePeriodSeconds"]
    return now > seconds(metadata["deletionTimestamp"]) + grace


def _pod_usage(pod: Object) -> Amounts:
    requests, limits = (pod_amounts(pod["spec"], what) for what in ("requests", "limits"))
    return {"pods": ONE, **_names(requests, limits)}


def _names(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """Requests and limits under the names quotas have for them."""
    used = {}
    for name, value in requests.items():
        used[f"requests.{name}"] = value
        if name in _COMPUTE or name.startswith("hugepages-"):
            used[name] = value
    for name in _COMPUTE:
        if name in limits:
            used[f"limits.{name}"] = limits[name]
    return used


def _service_usage(spec: Object) -> Amounts:
    used = {"services": ONE}
    kind, ports = spec.get("type"), Amount(Fraction(len(spec.get("ports", ()))))
    if kind == "NodePort":
        used["services.nodeports"] = ports
    elif kind == "LoadBalancer":
        used["services.loadbalancers"] = ONE
        used["services.nodeports"] = ports
    return used


def _claim_usage(claim: Object) -> Amounts:
    spec = claim.get("spec", {})
    used = {"persistentvolumeclaims": ONE}
    size = spec.get("resources", {}).get("requests", {}).get("storage")
    if size is not None:
        used["requests.storage"] = Amount.read(size)
    old = claim["metadata"].get("annotations", {}).get(_OLD_CLASS)
    name = old or spec.get("storageClassName", "")
    if name:
        used |= {f"{name}{_CLASS}{key}": value for key, value in used.items()}
    return used


def missing_requests(hard: Iterable[str], pod: Object) -> str:
    """What a pod must say under a quota that counts it; "" when nothing is missing."""
    if pod["spec"].get("resources"):
        return ""
    spec = pod["spec"]
    missing: dict[str, list[str]] = {}
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        resources = container.get("resources", {})
        said = _names(resources.get("requests", {}), resources.get("limits", {}))
        for name in sorted(set(_REQUIRED) & set(hard) - set(said)):
            missing.setdefault(name, []).append(container["name"])
    told = [f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing)]
    return f"must specify {'; '.join(told)}" if told else ""


def fits_scopes(spec: Object, plural: str, obj: Object) -> bool:
    """Whether a quota's scopes let it count the object; only pods have scopes."""
    rules = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes", ())]
    rules += spec.get("scopeSelector", {}).get("matchExpressions", ())
    if not rules:
        return True
    return plural == "pods" and all(_in_scope(rule, obj) for rule in rules)


def _in_scope(rule: Object, pod: Object) -> bool:
    spec = pod["spec"]
    match rule.get("scopeName"):
        case "Terminating":
            return "activeDeadlineSeconds" in spec
        case "NotTerminating":
            return "activeDeadlineSeconds" not in spec
        case "BestEffort":
            return bool(pod.get("status", {}).get("qosClass") == "BestEffort")
        case "NotBestEffort":
            return bool(pod.get("status", {}).get("qosClass") != "BestEffort")
        case "PriorityClass":
            return _by_class(rule, spec.get("priorityClassName", ""))
        case "CrossNamespacePodAffinity":
            return _looks_abroad(spec.get("affinity", {}))
    return False


def _by_class(rule: Object, name: str) -> bool:
    values = rule.get("values", ())
    return {
        "Exists": bool(name),
        "DoesNotExist": not name,
        "In": bool(name) and name in values,
        "NotIn": name not in values,
    }.get(rule.get("operator", ""), False)


def _looks_abroad(affinity: Object) -> bool:
    for key in ("podAffinity", "podAntiAffinity"):
        chosen = affinity.get(key, {})
        terms = list(chosen.get("requiredDuringSchedulingIgnoredDuringExecution", ()))
        terms += [
            weighted.get("podAffinityTerm", {})
            for weighted in chosen.get("preferredDuringSchedulingIgnoredDuringExecution", ())
        ]
        if any(term.get("namespaces") or "namespaceSelector" in term for term in terms):
            return True
    return False
