"""Building blocks of the pydantic models: what appears in more than one wire object."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

_QUANTITY_PATTERN: Final = (
    r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
)

SERVER_DEFAULT: Final[dict[str, Any]] = {"x-server-default": True}
"""Schema extras of a field whose default the API server fills in; other defaults are ours alone."""

Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1, json_schema_extra={"format": "int32"})]
Count = Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, as the API server writes it."""
ObjectName = Annotated[str, Field(max_length=253)]
Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": _QUANTITY_PATTERN,
            "minimum": 0,
        }
    ),
]
"""An amount the API server checks: a negative or misspelt one is refused at the door."""
FreeQuantity = Annotated[int | str, WithJsonSchema({"x-kubernetes-int-or-string": True})]
"""An amount we check ourselves, so that every slip in a tree is reported at once."""
ResourceList = dict[str, Quantity]
FreeResourceList = dict[str, FreeQuantity]
FreeObject = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""An object whose fields are somebody else's business."""


def keyed_list(*keys: str) -> dict[str, Any]:
    """Schema extras that make a list a map by these keys, merged entry by entry on apply."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


class WireModel(BaseModel):
    """A piece of an object: camelCase on the wire, snake_case here, unknown fields ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        extra="ignore",
    )


class Condition(WireModel):
    """One thing that is true or not about the object, and since when."""

    type: Annotated[str, Field(max_length=316)]
    """Name of the condition in CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[str, Field(max_length=1024)] = ""
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in a sentence for people."""
    last_transition_time: Time | None = None
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """The metadata.generation the condition was set for; 0 where that is not said."""


Conditions = Annotated[list[Condition], Field(json_schema_extra=keyed_list("type"))]
