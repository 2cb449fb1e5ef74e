"""What stays different of definitions, custom objects and managed fields."""

from __future__ import annotations

from e2e.differential.compare import Accepted

DEFINITIONS = (
    Accepted(
        "a definition just created",
        "`status.conditions` is null for a moment, the finalizer comes later",
        "served and Established at once",
        "one process, nothing has to settle",
        (
            "definitions: * .body.metadata.finalizers",
            "definitions: * .body.metadata.resourceVersion",
            "definitions: * 1 .body.status.acceptedNames.*",
            "definitions: * 1 .body.status.conditions",
            "definitions: a name that is taken 5 .body.status.acceptedNames.*",
            "definitions: a name that is taken 5 .body.status.conditions",
            "definitions: a table 5 .body.rows[0].object.metadata.*",
            "custom objects: in the cluster 1 .body.metadata.finalizers",
            "custom objects: in the cluster 1 .body.status.acceptedNames.*",
            "custom objects: in the cluster 1 .body.status.conditions",
            "versions and ends: * .body.metadata.finalizers",
        ),
    ),
    Accepted(
        "fields of a refused definition",
        "`spec.validation...`, as before apiextensions v1; own words of its parser",
        "`spec.versions[0]...`, as it was sent",
        "the path leads to the mistake",
        (
            "definitions: * 1 .body.details.causes[0].field",
            "definitions: a version twice 1 .body.details.causes[0].message",
            "definitions: a kind of odd letters 1 .body.details.causes[0].message",
            "definitions: no schema 1 .body.details.causes[0].message",
            "definitions: a bad column 1 .body.details.causes[0].message",
            "definitions: a column of an unknown type 1 .body.details.causes[0].*",
            "definitions: unique items 1 .body.details.causes[0].message",
            "definitions: a default of the wrong type 1 .body.details.causes[0].*",
            "definitions: a default that is out of bounds 1 .body.details.causes[0].message",
            "definitions: a bad pattern 1 .body.details.causes[0].message",
            "definitions: a map by a missing key 1 .body.details.causes[0].message",
            "definitions: metadata that is restricted 1 .body.details.causes[0].message",
        ),
    ),
    Accepted(
        "a set of objects without `x-kubernetes-map-type: atomic`; a type beside int-or-string",
        "422; ignored",
        "a set all the same; 422",
        "nothing of ours or of the operators played here has them",
        (
            "definitions: a set of objects 1 *",
            "definitions: int-or-string with a type 1 *",
        ),
    ),
    Accepted(
        "defaults that stand inside a default",
        "filled in when an object is",
        "filled in when the definition is stored",
        "the objects are the same",
        ("* .*openAPIV3Schema.properties.spec.properties.inner.default.deep",),
    ),
    Accepted(
        "an object written through another version",
        "has this version's defaults when it is read",
        "gets them with the next write through this version",
        "stored bytes are the answer",
        ("versions and ends: the versions' own schemas 6 .body.spec.inner",),
    ),
    Accepted(
        "violations inside oneOf, and of a whole number's type",
        "told of no field (`<nil>`)",
        "told of the field",
        "it leads to the mistake",
        (
            "custom objects: types 6 .body.details.causes",
            "custom objects: any of 5 .body.details.causes",
            "custom objects: any of 6 .body.details.causes[0].*",
        ),
    ),
    Accepted(
        "a negative scale of a custom object",
        "told of the object",
        "told of the Scale",
        "the Scale is what was sent",
        (
            "custom objects: scale 10 .body.message",
            "custom objects: scale 10 .body.details.group",
            "custom objects: scale 10 .body.details.kind",
            "custom objects: scale 10 .body.details.causes[0].*",
        ),
    ),
    Accepted(
        "a definition that is leaving",
        "its generation stays; 403 for new objects",
        "its generation counts; 405",
        "new objects are refused in both",
        (
            "versions and ends: * 6 .body.metadata.generation",
            "versions and ends: * 6 .body.metadata.deletionGracePeriodSeconds",
            "versions and ends: deleted while an object is held 9 *",
        ),
    ),
)

FIELDS = (
    Accepted(
        "managedFields of objects that were never applied",
        "kept from the first write",
        "kept from the first server-side apply on, what was before as `before-first-apply`",
        "half of every object would be bookkeeping",
        (
            "managed fields: * .body.metadata.managedFields",
            "managed fields: taken away 2 .body.metadata.resourceVersion",
            "managed fields: by operations 2 .body.metadata.resourceVersion",
            "managed fields: a manager with a long name 1 *",
            "apply: conflicts with an update 1 .body.metadata.managedFields",
            "apply: conflicts with an update 2 .body.details.causes[0].message",
            "apply: conflicts with an update 2 .body.message",
            "apply: a status 1 .body.metadata.managedFields",
            "apply: a status 2 .body.metadata.managedFields[1].*",
        ),
    ),
    Accepted(
        "two managers of one apply within a second",
        "in the order of their names, one without a time",
        "in the order in which they came",
        "the order means nothing",
        (
            "apply: agrees * .body.metadata.managedFields[*].*",
            "apply: gives up what it shares * .body.metadata.managedFields[*].*",
        ),
    ),
    Accepted(
        "the log of a pod without a node",
        "204",
        "200 and empty",
        "kubectl prints nothing for either",
        ("subresources: the log of a pod without a node 2 *",),
    ),
)
