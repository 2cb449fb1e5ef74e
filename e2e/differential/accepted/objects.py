"""What stays different of built-in kinds."""

from __future__ import annotations

from e2e.differential.compare import Accepted


def _of_the_end(where: str) -> tuple[str, ...]:
    """What the mark of a deletion changes in the object."""
    changed = ("deletionGracePeriodSeconds", "deletionTimestamp", "generation", "resourceVersion")
    return tuple(f"{where} .body.metadata.{key}" for key in changed)


OBJECTS = (
    Accepted(
        "zero values that Go's types cannot leave out",
        '`null`, `""`, `0` or `{}`',
        "absent",
        "they mean the same to every client",
        (
            "* .body.*firstTimestamp",
            "* .body.*lastTimestamp",
            "* .body.*eventTime",
            "* .body.*reportingComponent",
            "* .body.*reportingInstance",
            "* .body.*source",
            "* .body.deprecated*",
            "* .body.status.conditions[*].lastProbeTime",
            "* .body.status.conditions[*].lastHeartbeatTime",
            "* .body.status.conditions[*].lastTransitionTime",
            "statefulsets: * .body.spec.serviceName",
            "statefulsets: * .body.status.availableReplicas",
            "subresources: may I 1 .body.metadata",
        ),
    ),
    Accepted(
        "generation of kinds that have none",
        "what the client sends is kept",
        "none",
        "nothing counts it",
        ("create: fields of the server 1 .body.metadata.generation",),
    ),
    Accepted(
        "an object that a delete removes at once",
        "answered, and for pods first shown to watches, as marked for deletion",
        "answered as it was, DELETED at once",
        "it is gone, which watches learn",
        (
            "delete: a service* 2 .body.metadata.resourceVersion",
            *_of_the_end("grace: none for a pod without a node 2"),
            *_of_the_end("grace: none for a finished pod 3"),
            "grace: for a pod with a node 7 .body.metadata.deletionGracePeriodSeconds",
            "grace: for a pod with a node 7 .body.metadata.resourceVersion",
            "grace: as a watch shows it 3 .body.metadata.deletionGracePeriodSeconds",
            "grace: as a watch shows it 3 .body.metadata.resourceVersion",
            "grace: as a watch shows it 4 .events[1].object.metadata.deletionGracePeriodSeconds",
            "grace: as a watch shows it 4 .events[1].object.metadata.resourceVersion",
            "grace: as a watch shows it 4 .events[1].type",
            *_of_the_end("quota: given back 5"),
            "quota: given back 6 .body.metadata.resourceVersion",
            "quota: given back 7 .body.metadata.resourceVersion",
            "watches: of finalizers 5 .events[2].object.metadata.finalizers",
        ),
    ),
    Accepted(
        "deleting with Orphan where there is nothing to orphan",
        "marked, and gone a moment later",
        "gone at once",
        "there is nothing to wait for",
        ("garbage collection: nothing to orphan 2 .body.*", "jobs: deleted 2 .body.*"),
    ),
    Accepted(
        "conditions on the way to an end",
        "Terminating of a definition, a namespace's progress",
        "none",
        "the way is a moment long",
        (
            "namespaces: held by its own finalizer 4 .body.status.conditions",
            "versions and ends: * 6 .body.status.conditions",
        ),
    ),
    Accepted(
        "a Service's address families and policies, and that it needs ports",
        "given; 422 without ports",
        "stored as sent",
        "there is no proxy and no address to give",
        (
            "* .body.spec.ipFamilyPolicy",
            "* .body.spec.ipFamilies",
            "create: a service without ports 1 *",
        ),
    ),
    Accepted(
        "tokens in pods",
        "a volume with a token of the service account",
        "none",
        "simulated pods call nobody",
        ("pods: with a token 1 .body.spec.*",),
    ),
    Accepted(
        "a node without a kubelet",
        "tainted not-ready, its status filled with empty facts, its taints checked",
        "as sent",
        "the simulator's nodes are ready at once",
        (
            "nodes: * .body.spec",
            "nodes: cordoned 2 .body.spec.taints",
            "nodes: by labels 2 .body.items[0].spec",
            "nodes: * .body.status",
            "nodes: by labels 2 .body.items[0].status",
            "nodes: * .body.status.daemonEndpoints",
            "nodes: * .body.status.nodeInfo",
            "nodes: a bad taint 1 *",
        ),
    ),
    Accepted(
        "several things wrong at once",
        "all are told",
        "what the schema says comes first, and the kind's own rules only when it holds",
        "what is told is right, and the rest follows",
        (
            "pods: a bad container 1 .body.details.causes",
            "jobs: a selector 1 .body.details.causes",
            "jobs: another selector 2 .body.details.causes",
            "jobs: without a template 1 .body.details.causes",
            "*: without a selector 1 .body.details.causes",
            "definitions: * .body.details.causes",
        ),
    ),
    Accepted(
        "what may change in a pod or a job's template",
        "the refusal has a printed difference; `spec.template` or `spec.template.spec`",
        "without it; `spec.template.spec`",
        "kubectl diff shows it better",
        (
            "pods: a command that changes 2 .body.details.causes[0].message",
            "pods: its whole self again 2 .body.details.causes[0].message",
            "jobs: a node selector while running 2 .body.details.causes[0].field",
        ),
    ),
    Accepted(
        "warnings about values that are legal but odd",
        "a Warning header",
        "none",
        "only what Kubernetes refuses is refused here",
        (
            "bodies: a quantity that is a number 1 .warnings",
            "pods: affinity and spread 1 .warnings",
        ),
    ),
    Accepted(
        "refusals of odd quotas and limits",
        "422",
        "stored: a negative amount allows nothing, an unknown scope or type fits nothing",
        "the admission that counts is the same",
        (
            "quota: bad amounts 1 *",
            "quota: bad amounts 3 *",
            "quota: a bad resource 1 *",
            "quota: a bad scope 1 *",
            "limit range: a default over its maximum 1 *",
            "limit range: an unknown type 1 *",
            "limit range: two of a type 1 *",
            "limit range: a ratio 1 .body.spec.*",
        ),
    ),
    Accepted(
        "a kind that is kept and that nobody acts upon",
        "its controller acts",
        "a Warning header says so",
        "nothing is accepted and ignored in silence",
        ("statefulsets: * 1 .warnings",),
    ),
    Accepted(
        "SelfSubjectAccessReview",
        "RBAC's answer, 422 for an empty question",
        "yes, with the reason",
        "whoever holds the token may do everything",
        ("subresources: may I 1 .body.status.reason", "subresources: may I, of nothing 1 *"),
    ),
)
