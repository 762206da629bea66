"""Turns a pydantic type into the structural schema that a CRD may hold. Pure.

A CRD takes less than JSON schema: no references, no unions with null, no numeric exclusive limits, no
`additionalProperties: false` beside properties. A keyword that is not known here is refused rather than passed on, so
that a new kind of field is looked at once before it reaches a cluster.
"""

from typing import Any

from pydantic import BaseModel

from model_operator.errors import GenerationError

Schema = dict[str, Any]

CEL_RULES = "x-kubernetes-validations"
_KEPT = ("description", "type", "enum", "default", "minimum", "maximum", "required", CEL_RULES)
_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_DROPPED = ("title", "$defs")
# The CRD is read by people: what a field is comes first, what is in it last.
_ORDER = (*_KEPT[:5], "exclusiveMinimum", "maximum", "exclusiveMaximum", "required", CEL_RULES, "properties")


def render_structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of `model` under its wire names, with every reference replaced by what it refers to.

    Raises:
        GenerationError: a field has a shape that is not known to be structural.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _render_node(document, document.get("$defs", {}), model.__name__)


def _render_node(node: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    flat = _flatten_null(_inline(node, definitions), definitions)
    _refuse_unknown(flat, path)
    rendered = {keyword: flat[keyword] for keyword in _KEPT if keyword in flat}
    if "const" in flat:
        rendered["enum"] = [flat["const"]]
    for exclusive, limit in _EXCLUSIVE.items():
        if exclusive in flat:
            rendered |= {limit: flat[exclusive], exclusive: True}
    if "properties" in flat:
        rendered["properties"] = {
            name: _render_node(child, definitions, f"{path}.{name}") for name, child in flat["properties"].items()
        }
    return {keyword: rendered[keyword] for keyword in _ORDER if keyword in rendered}


def _inline(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """The node itself instead of a reference to it; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    beside = {keyword: value for keyword, value in node.items() if keyword != "$ref"}
    return _inline(definitions[node["$ref"].removeprefix("#/$defs/")], definitions) | beside


def _flatten_null(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """`X | None = None` becomes an X that may be left out: in Kubernetes an absent field stands for null."""
    branches = [branch for branch in node.get("anyOf", []) if branch != {"type": "null"}]
    if len(branches) != 1 or len(node["anyOf"]) == 1:
        return node
    beside = {keyword: value for keyword, value in node.items() if keyword != "anyOf"}
    if beside.get("default", ...) is None:
        del beside["default"]
    return _inline(branches[0], definitions) | beside


def _refuse_unknown(node: Schema, path: str) -> None:
    known = {*_KEPT, *_EXCLUSIVE, *_DROPPED, "const", "properties"}
    if node.get("additionalProperties") is False and "properties" in node:
        known.add("additionalProperties")
    if unknown := sorted(node.keys() - known):
        raise GenerationError(f"{path}: {', '.join(unknown)} has no structural form here; change the field's type")
    if "type" not in node:
        raise GenerationError(f"{path} has no type, which a structural schema needs; give the field one exact type")
