"""What holds for a kind without rules of its own."""

from collections.abc import Iterable
from typing import ClassVar

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.status import FieldError, field_invalid
from kube_queue.apiserver.store import Object, Record
from kube_queue.apiserver.world import World

IDLE = "this server keeps objects of kind {}, and nobody here acts upon them"
"""The warning that comes with a kind that has no controller here."""


class Rules:
    """The hooks of writing and deleting; each says what is true by default."""

    keeps_status: ClassVar[bool] = False
    """Whether a create may bring a status."""
    counts_spec_only: ClassVar[bool] = False
    """Whether only spec counts for metadata.generation, not every field but metadata."""
    has_generation: ClassVar[bool] = True
    returns_deleted: ClassVar[bool] = False
    """Whether deleting at once answers with the object instead of a Status."""

    default_propagation: ClassVar[str] = ""
    """What happens to dependents when a delete does not say; "" is Background."""

    def generation(self, kind: Kind) -> bool:
        """Whether the kind's objects carry metadata.generation."""
        return self.has_generation

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        """Defaults are in and fields only the server writes are set; raises a 403 to refuse.

        The object fits its schema: what is there has its type.
        """

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        """What breaks the kind's own rules; the schema already holds."""
        return []

    def before_delete(self, world: World, kind: Kind, record: Record) -> None:
        """Raises a 403 when the object may not be deleted."""

    def grace(self, obj: Object, asked: int | None) -> int:
        """Seconds between the request to delete and the removal."""
        return 0

    def prepare_deletion(self, obj: Object) -> None:
        """What else changes when the object is marked to go."""

    def holds(self, obj: Object) -> bool:
        """Whether something besides finalizers and grace keeps the object."""
        return False

    def warnings(self, obj: Object) -> Iterable[str]:
        """What the caller should know although the object is accepted."""
        return ()

    def deletion_warnings(self, propagation: str) -> Iterable[str]:
        """What the caller of a delete should know; `propagation` is what it asked for."""
        return ()


def count_errors(spec: Object, keys: Iterable[str]) -> list[FieldError]:
    """Of those numbers in a spec, the ones below 0."""
    return [
        field_invalid(f"spec.{key}", spec[key], "must be greater than or equal to 0")
        for key in keys
        if spec.get(key, 0) < 0
    ]
