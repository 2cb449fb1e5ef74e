"""The last word on an object before it is stored.

Holds: judge; a 400 for wrong types in built-in kinds, a 422 with every cause for the rest.
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


def judge(world: World, kind: Kind, obj: Object, old: Object | None) -> None:
    """The object may be stored; `old` is what it replaces."""
    found = meta.errors(kind, obj["metadata"])
    if old is not None:
        found += _finalizer_errors(obj["metadata"], old["metadata"])
    model = world.model(kind)
    if not model.validator.fits(obj):
        if kind.builtin:
            for path, wanted, value in model.validator.type_mismatches(obj):
                raise bad_request(
                    f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                    f"json: cannot unmarshal {meta.go_type(value)} into Go struct field "
                    f"{kind.kind}.{path} of type {wanted}"
                )
        found += model.validator.errors(obj)
    elif not kind.builtin:
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
