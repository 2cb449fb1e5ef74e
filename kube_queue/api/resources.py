"""Resource vectors and limits in exact integers: cpu in millicores, all else in whole base units.

Requests are rounded up and limits down to that unit, so no rounding admits more than was allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from sys import intern
from typing import Any, ClassVar, Final
from weakref import WeakValueDictionary

from kube_queue.api.errors import InvalidManifest, InvalidQuantity
from kube_queue.api.loose import field_path, shown
from kube_queue.api.quantity import Format, Quantity

MILLI_RESOURCES: Final = frozenset({"cpu", "requests.cpu", "limits.cpu"})
"""Resources counted in thousandths; every other resource is counted in whole units."""

_BINARY_RESOURCES: Final = ("memory", "ephemeral-storage", "storage", "hugepages-")
_NATIVE_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_OF_QUOTA: Final = ":"
"""Stands neither in the name of an object nor in that of a resource."""
_CACHED_TEXTS: Final = 16_384


class ResourceVector:
    """An immutable map of resource name to amount, without zeros, shared by all who hold it.

    Equal vectors are the same object for as long as one is alive, so comparing and hashing them
    costs nothing and 100,000 units of 200 shapes hold 200 vectors. ``items`` is sorted by name.
    Amounts may be negative only as the result of a subtraction.
    """

    __slots__ = ("__weakref__", "_amounts", "items")
    items: tuple[tuple[str, int], ...]
    _amounts: dict[str, int]
    _shared: ClassVar[WeakValueDictionary[tuple[tuple[str, int], ...], ResourceVector]] = (
        WeakValueDictionary()
    )

    def __init__(self) -> None:
        raise TypeError("build a ResourceVector with parse() or of()")

    @classmethod
    def of(cls, amounts: Mapping[str, int]) -> ResourceVector:
        """The vector of these amounts, in millicores and whole units."""
        return _vector(amounts.items())

    @classmethod
    def parse(cls, quantities: object, path: str = "") -> ResourceVector:
        """The vector of a manifest's resource list, each amount rounded up; null is empty.

        Raises InvalidQuantity (bad or negative amount) or InvalidManifest (no map), with the path.
        """
        if quantities is None:
            return EMPTY
        if type(quantities) is dict or isinstance(quantities, Mapping):
            items = tuple(quantities.items())
            if all(type(value) is str for _, value in items):
                try:
                    return _parse_shared(items)
                except InvalidQuantity:
                    pass  # parsed once more below, for the path
            return _parse(items, path)
        raise InvalidManifest(
            f"a map of resource names to quantities is expected, not {shown(quantities)}",
            path,
            "write for example {cpu: 1, memory: 1Gi}",
        )

    def __getitem__(self, name: str) -> int:
        return self._amounts.get(name, 0)

    def __bool__(self) -> bool:
        return bool(self.items)

    def __add__(self, other: ResourceVector) -> ResourceVector:
        if not other.items:
            return self
        return _combined(self._amounts, other.items, 1)

    def __sub__(self, other: ResourceVector) -> ResourceVector:
        if not other.items:
            return self
        return _combined(self._amounts, other.items, -1)

    def __mul__(self, times: int) -> ResourceVector:
        if times == 1:
            return self
        return _vector((name, amount * times) for name, amount in self.items)

    __rmul__ = __mul__

    def highest(self, other: ResourceVector) -> ResourceVector:
        """The larger amount of each resource."""
        names = self._amounts.keys() | other._amounts.keys()
        return _vector((name, max(self[name], other[name])) for name in names)

    def shared_by(self, count: int) -> ResourceVector:
        """The part of each of `count` equals, 1 or more, rounded up."""
        return _vector((name, -(-amount // count)) for name, amount in self.items)

    def manifest(self) -> dict[str, str]:
        """Canonical quantities by name, as they go on the wire."""
        return {name: format_amount(name, amount) for name, amount in self.items}

    def __repr__(self) -> str:
        return f"ResourceVector({self.manifest()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ResourceVector.of, (dict(self.items),)

    def __copy__(self) -> ResourceVector:
        return self

    def __deepcopy__(self, memo: object) -> ResourceVector:
        return self


def _vector(amounts: Iterable[tuple[str, int]]) -> ResourceVector:
    items = tuple(sorted((name, amount) for name, amount in amounts if amount))
    shared = ResourceVector._shared.get(items)
    if shared is not None:
        return shared
    vector = object.__new__(ResourceVector)
    vector.items = tuple((intern(name), amount) for name, amount in items)
    vector._amounts = dict(vector.items)
    ResourceVector._shared[vector.items] = vector
    return vector


def _combined(
    base: Mapping[str, int], items: tuple[tuple[str, int], ...], sign: int
) -> ResourceVector:
    sums = dict(base)
    for name, amount in items:
        sums[name] = sums.get(name, 0) + sign * amount
    return _vector(sums.items())


EMPTY: Final = _vector(())
"""The vector that asks for nothing."""


@lru_cache(maxsize=_CACHED_TEXTS)
def _amount_of(name: str, value: str | int) -> int:
    quantity = Quantity.parse(value)
    return quantity.milli() if name in MILLI_RESOURCES else quantity.whole()


def parse_amount(name: str, value: object, path: str = "") -> int:
    """The amount a request of resource ``name`` stands for, rounded up to its unit.

    Raises InvalidQuantity with the path when it cannot be read or is negative.
    """
    try:
        # Only strings and ints are cached: True == 1 == 1.0 would share one entry.
        if type(value) is str or type(value) is int:
            amount = _amount_of(name, value)
        else:
            quantity = Quantity.parse(value)
            amount = quantity.milli() if name in MILLI_RESOURCES else quantity.whole()
    except InvalidQuantity as error:
        raise error.under(path) from None
    if amount < 0:
        raise InvalidQuantity(f"{shown(value)} is negative", path, "ask for zero or more")
    return amount


def _parse(items: tuple[tuple[Any, Any], ...], path: str) -> ResourceVector:
    amounts: list[tuple[str, int]] = []
    for name, value in items:
        if not isinstance(name, str):
            raise InvalidManifest(f"a resource is named {name!r}, which is no text", path)
        amounts.append((name, parse_amount(name, value, field_path(path, name))))
    return _vector(amounts)


def parse_limit(name: str, value: object, path: str = "") -> int:
    """The amount one limit of resource ``name`` allows, rounded down to its unit.

    Raises InvalidQuantity with the path when it cannot be read or is negative.
    """
    try:
        quantity = Quantity.parse(value)
    except InvalidQuantity as error:
        raise error.under(path) from None
    if quantity.nano < 0:
        raise InvalidQuantity(f"{shown(value)} is negative", path, "a limit is zero or more")
    return quantity.milli(down=True) if name in MILLI_RESOURCES else quantity.whole(down=True)


def bound_name(quota: str, key: str) -> str:
    """The name of one bound of a ResourceQuota as a resource of its own: ``quota:key``."""
    return intern(f"{quota}{_OF_QUOTA}{key}")


def bound_of(name: str) -> tuple[str, str]:
    """The ResourceQuota and the key a resource stands for; the first is empty for any other."""
    quota, _, key = name.rpartition(_OF_QUOTA)
    return quota, key


def format_amount(name: str, amount: int) -> str:
    """The canonical quantity of an amount in the resource's unit: ``3``, ``500m``, ``4Gi``."""
    if _OF_QUOTA in name:
        name = bound_of(name)[1]
    if name in MILLI_RESOURCES:
        return str(Quantity(amount * 10**6))
    binary = name.rpartition(".")[2].startswith(_BINARY_RESOURCES)
    return str(Quantity(amount * 10**9, Format.BINARY_SI if binary else Format.DECIMAL_SI))


# Texts only: Python holds 1, 1.0 and True equal, so as keys they would share one entry. The shared
# vectors stay alive here after their last unit is gone, at most so many.
@lru_cache(maxsize=_CACHED_TEXTS)
def _parse_shared(items: tuple[tuple[str, str], ...]) -> ResourceVector:
    return _parse(items, "")


def is_of_pods(name: str) -> bool:
    """Whether Kubernetes lets a pod ask for a resource of this name."""
    domain, slash, rest = name.partition("/")
    with_domain = bool(slash and domain and rest)
    return with_domain or name in _NATIVE_RESOURCES or name.startswith("hugepages-")
