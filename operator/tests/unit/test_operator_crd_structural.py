from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from model_operator.api.rules import QUANTITY_PATTERN, Quantity
from model_operator.api.structural import PRESERVE, render_structural_schema
from model_operator.errors import GenerationError

QUANTITY = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": QUANTITY_PATTERN,
    "x-kubernetes-int-or-string": True,
}


class Inner(BaseModel):
    """An inner object."""

    size: int = 3


class Outer(BaseModel):
    """An outer object."""

    inner: Inner
    described: Inner = Field(description="Its own words.")
    maybe: int | None = None
    maybe_inner: Inner | None = Field(default=None, description="Perhaps.")


def test_references_are_inlined_and_null_is_absence():
    inner = {"size": {"type": "integer", "default": 3}}
    assert render_structural_schema(Outer) == {
        "description": "An outer object.",
        "type": "object",
        "required": ["inner", "described"],
        "properties": {
            "inner": {"description": "An inner object.", "type": "object", "properties": inner},
            "described": {"description": "Its own words.", "type": "object", "properties": inner},
            "maybe": {"type": "integer"},
            "maybe_inner": {"description": "Perhaps.", "type": "object", "properties": inner},
        },
    }


class Collections(BaseModel):
    """What holds other things."""

    amounts: dict[str, Quantity] = {}
    labels: dict[str, str] = {}
    free: dict[str, Any] | None = None
    inners: tuple[Inner, ...] = ()
    count: int = 0
    on: bool = False
    text: str = ""


def test_maps_lists_and_free_objects_have_their_structural_forms():
    assert render_structural_schema(Collections) == {
        "description": "What holds other things.",
        "type": "object",
        "properties": {
            "amounts": {"type": "object", "additionalProperties": QUANTITY},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", PRESERVE: True},
            "inners": {
                "type": "array",
                "items": {
                    "description": "An inner object.",
                    "type": "object",
                    "properties": {"size": {"type": "integer", "default": 3}},
                },
            },
            "count": {"type": "integer", "default": 0},
            "on": {"type": "boolean", "default": False},
            "text": {"type": "string"},
        },
    }


class Hollow(BaseModel):
    """An object without defaults."""

    text: str = ""


class Defaults(BaseModel):
    """Objects that are there by default."""

    inner: Inner = Inner()
    hollow: Hollow = Hollow()
    perhaps: Inner | None = None


def test_an_object_is_a_default_only_where_its_fields_have_some():
    properties = render_structural_schema(Defaults)["properties"]
    assert properties["inner"]["default"] == {}
    assert properties["inner"]["properties"]["size"]["default"] == 3
    assert "default" not in properties["hollow"]
    assert "default" not in properties["perhaps"]


class Closed(BaseModel, extra="forbid"):
    """An object that refuses unknown fields."""

    kind: Literal["One"] = "One"


def test_unknown_fields_are_left_to_pruning():
    assert render_structural_schema(Closed) == {
        "description": "An object that refuses unknown fields.",
        "type": "object",
        "properties": {"kind": {"type": "string", "enum": ["One"], "default": "One"}},
    }


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int | str, "Odd.field: anyOf has no structural form here; change the field's type"),
        (dict[str, int | str], "Odd.field.*: anyOf has no structural form here; change the field's type"),
        (tuple[int, str], "Odd.field: minItems, prefixItems has no structural form here; change the field's type"),
        (Literal[1, "a"], "Odd.field has no type, which a structural schema needs; give the field one exact type"),
    ],
)
def test_a_field_without_a_structural_form_is_refused(annotation, message):
    odd = type("Odd", (BaseModel,), {"__annotations__": {"field": annotation}})
    with pytest.raises(GenerationError) as caught:
        render_structural_schema(odd)
    assert str(caught.value) == message
