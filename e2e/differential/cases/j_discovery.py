"""What a client may ask for: versions, groups, resources, documents."""

from __future__ import annotations

from e2e.differential.case import Case, case, get, post, subject
from e2e.differential.cases.f_custom import defined
from e2e.differential.objects import version

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def _resources(path: str, names: str) -> Case:
    """The entries of these resources in one group's list."""
    fields = (f"resources[name={name}]" for name in names.split())
    return case(f"resources of {path}", get(path, only=" ".join(["kind", "groupVersion", *fields])))


DOCUMENTS = subject(
    "discovery",
    case("the version", get("/version", only="major minor")),
    case("versions of the core", get("/api", only="kind versions")),
    case("a group", get("/apis/batch"), get("/apis/scheduling.k8s.io"), get("/apis/apps")),
    case("no group", get("/apis/gadgets.example.com"), get("/apis/batch/v9")),
    case("groups", get("/apis", only="kind apiVersion groups[name=batch] groups[name=apps] "
                       "groups[name=coordination.k8s.io] groups[name=scheduling.k8s.io]")),
    _resources("/api/v1", "configmaps secrets pods pods/status pods/binding pods/eviction "
               "pods/log namespaces namespaces/status nodes nodes/status events limitranges "
               "resourcequotas resourcequotas/status serviceaccounts services services/status "
               "bindings"),
    _resources("/apis/batch/v1", "jobs jobs/status"),
    _resources("/apis/apps/v1", "deployments deployments/scale deployments/status replicasets "
               "replicasets/scale replicasets/status statefulsets statefulsets/scale "
               "statefulsets/status"),
    _resources("/apis/coordination.k8s.io/v1", "leases"),
    _resources("/apis/events.k8s.io/v1", "events"),
    _resources("/apis/scheduling.k8s.io/v1", "priorityclasses"),
    _resources("/apis/apiextensions.k8s.io/v1",
               "customresourcedefinitions customresourcedefinitions/status"),
    _resources("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews"),
    case("aggregated", get("/api", accept=AGGREGATED, only="kind apiVersion "
                           "items.0.versions.0.resources[resource=pods] "
                           "items.0.versions.0.resources[resource=configmaps] "
                           "items.0.versions.0.resources[resource=namespaces]"),
         get("/apis", accept=f"{AGGREGATED},application/json",
             only="kind apiVersion items.0.versions.0.version")),
    case("a custom group", *defined(version(subresources={"status": {}}),
                                    names={"shortNames": ["wd"], "categories": ["all"]}),
         get("/apis/{g}"), get("/apis/{g}/v1")),
    case("documents", get("/openapi/v3", only="nothing"),
         get("/openapi/v3/apis/batch/v1", only="openapi info.title"),
         get("/openapi/v3/apis/batch/v9", only="nothing")),
    case("events of the other group", post("/apis/events.k8s.io/v1/namespaces/{ns}/events", {
        "metadata": {"name": "a"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "A",
        "reason": "R", "type": "Normal", "note": "n", "reportingController": "c",
        "reportingInstance": "i", "regarding": {"kind": "Pod", "namespace": "{ns}", "name": "p"}}),
         get("events/a"), get("/apis/events.k8s.io/v1/namespaces/{ns}/events/a")),
)  # fmt: skip

CASES = DOCUMENTS
