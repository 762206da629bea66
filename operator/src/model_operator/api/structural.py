"""Turns a pydantic type into the structural schema that a CRD may hold. Pure.

A CRD takes less than JSON schema: no references, no unions with null, no numeric exclusive limits, no
`additionalProperties: false` beside properties. A keyword that is not known here is refused rather than passed on, so
that a new kind of field is looked at once before it reaches a cluster.
"""

import copy
from typing import Any

from pydantic import BaseModel

from model_operator.errors import GenerationError

Schema = dict[str, Any]

CEL_RULES = "x-kubernetes-validations"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"
PRESERVE = "x-kubernetes-preserve-unknown-fields"

_LIMITS = ("pattern", "maxLength", "maxItems", "maxProperties")
_KEPT = (
    *("description", "type", "format", "enum", "default", "minimum", "maximum", *_LIMITS),
    *(LIST_TYPE, LIST_MAP_KEYS, "required", CEL_RULES),
)
_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_CHILDREN = ("properties", "additionalProperties", "items")
_DROPPED = ("title", "$defs")
# The CRD is read by people: what a field is comes first, what is in it last.
_ORDER = (
    *(*_KEPT[:6], "exclusiveMinimum", "maximum", "exclusiveMaximum", *_KEPT[7:]),
    *("anyOf", INT_OR_STRING, PRESERVE, *_CHILDREN),
)


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
    kept = (*_KEPT, "anyOf", INT_OR_STRING) if INT_OR_STRING in flat else _KEPT
    # Copies, since YAML would write anchors for what stands in a definition that is inlined twice.
    rendered = {keyword: copy.deepcopy(flat[keyword]) for keyword in kept if keyword in flat}
    if "description" in flat:
        rendered["description"] = " ".join(flat["description"].split())
    if "const" in flat:
        rendered["enum"] = [flat["const"]]
    for exclusive, limit in _EXCLUSIVE.items():
        if exclusive in flat:
            rendered |= {limit: flat[exclusive], exclusive: True}
    rendered |= _render_children(flat, definitions, path)
    rendered = _with_structural_default(rendered)
    return {keyword: rendered[keyword] for keyword in _ORDER if keyword in rendered}


def _render_children(node: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    rendered: Schema = {}
    if "properties" in node:
        rendered["properties"] = {
            name: _render_node(child, definitions, f"{path}.{name}") for name, child in node["properties"].items()
        }
    elif node.get("additionalProperties") is True:
        rendered[PRESERVE] = True
    elif "additionalProperties" in node:
        rendered["additionalProperties"] = _render_node(node["additionalProperties"], definitions, f"{path}.*")
    if "items" in node:
        rendered["items"] = _render_node(node["items"], definitions, f"{path}[]")
    return rendered


def _with_structural_default(node: Schema) -> Schema:
    """The default of an object is `{}` where its fields have defaults, which the API server then fills in.

    What is empty (no text, no entries) is no default: it would only be noise in every stored object.
    """
    if "default" not in node:
        return node
    without = {keyword: value for keyword, value in node.items() if keyword != "default"}
    if "properties" in node:
        filled = any("default" in child for child in node["properties"].values())
        return without | {"default": {}} if filled else without
    return without if node["default"] in ("", [], {}) else node


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
    known = {*_KEPT, *_EXCLUSIVE, *_DROPPED, "const", "properties", "items"}
    extra = node.get("additionalProperties")
    if (extra is False) == ("properties" in node):
        known.add("additionalProperties")
    if INT_OR_STRING in node:
        known |= {INT_OR_STRING, "anyOf"}
    if unknown := sorted(node.keys() - known):
        raise GenerationError(f"{path}: {', '.join(unknown)} has no structural form here; change the field's type")
    if "type" not in node and INT_OR_STRING not in node:
        raise GenerationError(f"{path} has no type, which a structural schema needs; give the field one exact type")
