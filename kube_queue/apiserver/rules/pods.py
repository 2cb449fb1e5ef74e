"""Pod: defaults, priority admission, what may change, and how long a deletion waits."""

from typing import Any

import orjson

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.meta import LABEL_RULE, is_label
from kube_queue.apiserver.patches import same
from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.rules.limits import fill_in
from kube_queue.apiserver.rules.pod_parts import change_errors, may_narrow, part_errors
from kube_queue.apiserver.rules.quantities import amount, settle_amounts
from kube_queue.apiserver.status import (
    MOST_CAUSES,
    FieldError,
    field_duplicate,
    field_forbidden,
    field_invalid,
    field_required,
    field_unsupported,
    forbidden,
)
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World

GRACE_SECONDS = 30
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_CHANGEABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


class PodRules(Rules):
    """A pod is Pending, complete and of known priority once it is created."""

    counts_spec_only = True
    returns_deleted = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        default_pod_spec(spec, "spec")
        for container in _containers(spec):
            _requests_from_limits(container)
        spec.setdefault("enableServiceLinks", True)
        _tolerate(spec)
        if old is None:
            spec["serviceAccount"] = spec.setdefault("serviceAccountName", "default")
            fill_in(world, obj)
            _resolve_priority(world, kind, obj, spec)
            obj["status"] = _first_status(world, spec)
        else:
            for key in ("priority", "preemptionPolicy"):
                if key in old["spec"]:
                    spec.setdefault(key, old["spec"][key])
            if "qosClass" in old.get("status", {}):
                obj.setdefault("status", {})["qosClass"] = old["status"]["qosClass"]

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        found = pod_spec_errors(obj["spec"], "spec")
        found += _gate_errors(obj["spec"], None if old is None else old["spec"])
        if old is not None:
            found += change_errors(obj["spec"], old["spec"])
        if old is not None and not found and not same(_masked(obj, old), _masked(old, old)):
            found.append(
                field_forbidden(
                    "spec", f"pod updates may not change fields other than {_CHANGEABLE}"
                )
            )
        return found

    def grace(self, obj: Object, asked: int | None) -> int:
        spec, phase = obj["spec"], obj.get("status", {}).get("phase")
        if not spec.get("nodeName") or phase in ("Failed", "Succeeded"):
            return 0
        period = spec.get("terminationGracePeriodSeconds", 0) if asked is None else asked
        return int(period) if period >= 0 else 1


def _gate_errors(spec: Object, old: Object | None) -> list[FieldError]:
    """A pod waits behind its gates for a node, and none is added later."""
    gates = spec.get("schedulingGates") or ()
    if old is None:
        if not gates or not spec.get("nodeName"):
            return []
        problem = "cannot be set until all schedulingGates have been cleared"
        return [field_forbidden("spec.nodeName", problem)]
    known = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    return [
        field_forbidden(
            f"spec.schedulingGates[{place}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for place, gate in enumerate(gates)
        if gate.get("name") not in known
    ]


def _containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", ()), *spec.get("containers", ())]


def default_pod_spec(spec: Object, path: str) -> None:
    """What every pod and pod template gets when it does not say."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", GRACE_SECONDS)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    settle_amounts(spec, ("overhead",), path)
    settle_amounts(spec.get("resources", {}), ("limits", "requests"), f"{path}.resources")
    for container in _containers(spec):
        _default_container(container, path)
    for volume in spec.get("volumes", ()):
        _default_volume(volume)


def _default_container(container: Object, path: str) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = container.get("image", "")
    if image:
        tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        latest = tag == "latest" or (not tag and "@" not in image)
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    settle_amounts(container["resources"], ("limits", "requests"), f"{path}.containers.resources")
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if key in container:
            _default_probe(container[key])
            if "httpGet" in container[key]:
                container[key]["httpGet"].setdefault("scheme", "HTTP")
    for variable in container.get("env", ()):
        field = variable.get("valueFrom", {}).get("fieldRef")
        if field is not None:
            field.setdefault("apiVersion", "v1")


def _default_probe(probe: Object) -> None:
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        probe.setdefault(key, value)


def _default_volume(volume: Object) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for key in ("secret", "configMap", "downwardAPI", "projected"):
        if key in volume:
            volume[key].setdefault("defaultMode", 0o644)


def _requests_from_limits(container: Object) -> None:
    resources = container["resources"]
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _resolve_priority(world: World, kind: Kind, obj: Object, spec: Object) -> None:
    """The pod has the priority of its class, or of the default class, or 0."""
    classes = world.store.collection("scheduling.k8s.io", "priorityclasses").records
    wanted = spec.get("priorityClassName")
    name = obj["metadata"].get("name", "")
    found: Object | None = None
    if wanted:
        record = classes.get(wanted)
        if record is None:
            raise forbidden(kind, name, f"no PriorityClass with name {wanted} was found")
        found = record.decode()
    else:
        defaults = [c.decode() for c in classes.values() if b'"globalDefault":true' in c.raw]
        if defaults:
            found = min(defaults, key=lambda c: (c["value"], c["metadata"]["name"]))
            spec["priorityClassName"] = found["metadata"]["name"]
    priority = found["value"] if found else 0
    stated = spec.get("priority")
    if stated is not None and stated != priority:
        raise forbidden(
            kind,
            name,
            f"the integer value of priority ({stated}) must not be provided in pod spec; priority "
            f"admission controller computed {priority} from the given PriorityClass name",
        )
    spec["priority"] = priority
    policy = (found or {}).get("preemptionPolicy", "PreemptLowerPriority")
    if spec.setdefault("preemptionPolicy", policy) != policy:
        raise forbidden(
            kind,
            name,
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be "
            f"provided in pod spec; priority admission controller computed {policy} from the "
            "given PriorityClass name",
        )


def _tolerate(spec: Object) -> None:
    """Every pod outlives five minutes of an unwell node, unless it says otherwise."""
    tolerations = spec.setdefault("tolerations", [])
    for key in _TOLERATED:
        known = any(
            t.get("key", "") in ("", key) and t.get("effect", "") in ("", "NoExecute")
            for t in tolerations
        )
        if not known:
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )


def _first_status(world: World, spec: Object) -> Object:
    status: Object = {"phase": "Pending", "qosClass": _qos(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": None,
                "lastTransitionTime": world.now(),
            }
        ]
    return status


def _qos(spec: Object) -> str:
    guaranteed, any_amount = True, False
    for container in _containers(spec):
        resources: Any = container["resources"]
        limits, requests = (
            {k: v for k, v in resources.get(key, {}).items() if k in ("cpu", "memory")}
            for key in ("limits", "requests")
        )
        any_amount = any_amount or bool(limits or requests)
        if len(limits) < 2 or requests != limits:
            guaranteed = False
    if not any_amount:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def pod_spec_errors(spec: Object, path: str) -> list[FieldError]:
    """What keeps the spec from being runnable; the schema already holds."""
    found = part_errors(spec, path)
    if not spec.get("containers"):
        found.append(field_required(f"{path}.containers"))
    if spec["restartPolicy"] not in _RESTART_POLICIES:
        found.append(
            field_unsupported(f"{path}.restartPolicy", spec["restartPolicy"], _RESTART_POLICIES)
        )
    names: set[str] = set()
    for key in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(key, ())):
            if len(found) < MOST_CAUSES:
                found += _container_errors(container, f"{path}.{key}[{place}]", names)
    return found


def _container_errors(container: Object, path: str, names: set[str]) -> list[FieldError]:
    found = []
    name = container.get("name", "")
    if not name:
        found.append(field_required(f"{path}.name"))
    elif not is_label(name):
        found.append(field_invalid(f"{path}.name", name, LABEL_RULE))
    elif name in names:
        found.append(field_duplicate(f"{path}.name", name))
    names.add(name)
    if not container.get("image"):
        found.append(field_required(f"{path}.image"))
    resources = container["resources"]
    limits = resources.get("limits", {})
    for key in ("limits", "requests"):
        for resource, text in resources.get(key, {}).items():
            where = f"{path}.resources.{key}"
            if text.startswith("-"):
                found.append(
                    field_invalid(
                        f"{where}[{resource}]", text, "must be greater than or equal to 0"
                    )
                )
            elif key == "requests" and resource in limits:
                found += _over_limit(where, resource, text, limits[resource])
    return found


def _over_limit(path: str, resource: str, text: str, limit: str) -> list[FieldError]:
    if amount(text) <= amount(limit):
        return []
    return [field_invalid(path, text, f"must be less than or equal to {resource} limit of {limit}")]


def _masked(obj: Object, old: Object) -> Object:
    """The spec without what an update may change."""
    spec: Object = orjson.loads(orjson.dumps(obj["spec"]))
    for container in _containers(spec):
        container.pop("image", None)
    for key in ("activeDeadlineSeconds", "schedulingGates"):
        spec.pop(key, None)
    spec.pop("tolerations", None)
    if may_narrow(obj["spec"], old["spec"]):
        spec.pop("nodeSelector", None)
    if old["spec"].get("terminationGracePeriodSeconds", 0) < 0:
        spec.pop("terminationGracePeriodSeconds", None)
    return spec
