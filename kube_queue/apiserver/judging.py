"""The last word on an object before it is stored.

Holds: check_types, before a kind's rules complete the object, and judge, after them.
"""

from kube_queue.apiserver import meta
from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules import rules_of
from kube_queue.apiserver.schema import duplicates
from kube_queue.apiserver.status import (
    FieldError,
    bad_request,
    field_duplicate,
    field_forbidden,
    invalid,
)
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World


def check_types(world: World, kind: Kind, obj: Object) -> None:
    """A built-in object fits its schema, so that its kind's rules may rely on it.

    Wrong types are a 400, as a decoder has it; required fields that are missing are a 422.
    """
    validator = world.model(kind).validator
    if not kind.builtin or validator.fits(obj):
        return
    for path, wanted, value in validator.type_mismatches(obj):
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: json: '
            f"cannot unmarshal {meta.go_type(value)} into Go struct field {kind.kind}.{path} of "
            f"type {wanted}"
        )
    raise invalid(kind.group, kind.kind, obj["metadata"].get("name", ""), validator.errors(obj))


def judge(world: World, kind: Kind, obj: Object, old: Object | None) -> None:
    """The object may be stored; `old` is what it replaces."""
    found = meta.errors(kind, obj["metadata"])
    if old is not None:
        found += _finalizer_errors(obj["metadata"], old["metadata"])
    if not kind.builtin:
        model = world.model(kind)
        if not model.validator.fits(obj):
            # What was already wrong may stay as it is: a stricter schema stops no other change.
            known = set() if old is None else set(model.validator.errors(old))
            found += [error for error in model.validator.errors(obj) if error not in known]
        else:
            found += [field_duplicate(path, value) for path, value in duplicates(obj, model.shape)]
    if not found:
        found = rules_of(kind).judge(world, kind, obj, old)
    if found:
        raise invalid(kind.group, kind.kind, obj["metadata"].get("name", ""), found)


def _finalizer_errors(new: Object, old: Object) -> list[FieldError]:
    if "deletionTimestamp" not in old:
        return []
    fresh = [name for name in new.get("finalizers", ()) if name not in old.get("finalizers", ())]
    if not fresh:
        return []
    listed = ", ".join(f'"{name}"' for name in fresh)
    return [
        field_forbidden(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}",
        )
    ]
