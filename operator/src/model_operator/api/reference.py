"""Renders the API's reference page from its CRD, so that the page never says more than the cluster checks. Pure."""

import json
from collections.abc import Iterator

from model_operator import names
from model_operator.api.structural import CEL_RULES, INT_OR_STRING, LIST_MAP_KEYS, PRESERVE, Schema

_SPEC_COLUMNS = ("Field", "Type", "Default", "Allowed", "Meaning")
_STATUS_COLUMNS = ("Field", "Type", "Meaning")
_SCALE_PATHS = ("specReplicas", "statusReplicas", "labelSelector")
_REFUSALS = (
    "The API server refuses an object that breaks a rule below, with the rule's sentence, and `kubectl` refuses one"
    " with a field that is not here."
)


def render_reference(crd: Schema) -> str:
    """Markdown: names and rules of the kind, its columns, then one table for each object in its spec and status."""
    version = crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    lines = [
        f"# {names.KIND}",
        "",
        schema["description"],
        "",
        f"`apiVersion: {names.API_VERSION}`, `kind: {names.KIND}`, short name `{names.SHORT_NAME}`, namespaced.",
        "",
        _REFUSALS,
        *_render_rules(schema),
        *_render_columns(version["additionalPrinterColumns"]),
        *_render_subresources(version["subresources"]["scale"]),
        *_render_object("spec", schema["properties"]["spec"], _SPEC_COLUMNS),
        *_render_object("status", schema["properties"]["status"], _STATUS_COLUMNS),
    ]
    return "\n".join(lines) + "\n"


def _render_rules(node: Schema) -> Iterator[str]:
    if CEL_RULES in node:
        yield ""
    for rule in node.get(CEL_RULES, []):
        yield f"- {rule['message']}."


def _render_columns(columns: list[Schema]) -> Iterator[str]:
    yield from ("", "## Columns", "", f"What `kubectl get {names.SHORT_NAME}` prints after NAME:", "")
    yield _format_row(("Column", "Field", "Meaning"))
    yield _format_row(("---",) * 3)
    for column in columns:
        wide = " Printed with `-o wide`." if column.get("priority") else ""
        yield _format_row((column["name"], f"`{column['jsonPath'].lstrip('.')}`", column["description"] + wide))


def _render_subresources(scale: Schema) -> Iterator[str]:
    spec, status, selector = (f"`{scale[f'{path}Path'].lstrip('.')}`" for path in _SCALE_PATHS)
    yield from ("", "## Subresources", "")
    yield (
        "`status` is written by the operator alone. `scale` lets `kubectl scale` and a foreign autoscaler set"
        f" {spec}, which is used only while `spec.autoscaling` is absent; it shows {status} and selects pods by"
        f" {selector}."
    )


def _render_object(path: str, node: Schema, columns: tuple[str, ...]) -> Iterator[str]:
    """A table of the object's fields, its rules, then the objects in it."""
    yield from ("", f"## `{path}`", "", node["description"])
    yield from _render_rules(node)
    yield ""
    yield _format_row(columns)
    yield _format_row(("---",) * len(columns))
    for name, field in node["properties"].items():
        cells = {
            "Field": f"`{name}`",
            "Type": _type(field),
            "Default": _default(field, name in node.get("required", [])),
            "Allowed": _allowed(name, field),
            "Meaning": _meaning(field, columns),
        }
        yield _format_row(tuple(cells[column] for column in columns))
    for name, field in node["properties"].items():
        inner, suffix = (field["items"], "[]") if "items" in field else (field, "")
        if "properties" in inner:
            yield from _render_object(f"{path}.{name}{suffix}", inner, columns)


def _type(field: Schema) -> str:
    """The type in words: what a list or a map holds, and what is a time or an amount."""
    if INT_OR_STRING in field:
        return "quantity"
    if field.get("format") == "date-time":
        return "time"
    if "items" in field:
        keys = field.get(LIST_MAP_KEYS)
        return f"list of {_type(field['items'])}{f', by {keys[0]}' if keys else ''}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    return "object as it is" if PRESERVE in field else str(field["type"])


def _default(field: Schema, required: bool) -> str:
    """The default, as YAML writes it; an object whose fields have defaults exists always."""
    if required:
        return "required"
    if "default" not in field:
        return ""
    if field["default"] == {}:
        return "its fields' defaults"
    default = json.dumps(field["default"]) if isinstance(field["default"], bool) else field["default"]
    return f"`{default}`"


def _allowed(name: str, field: Schema) -> str:
    """What the field may be, in words: its choices, its rules, or its limits."""
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if "properties" in field:
        return ""
    rules = [rule["message"].removeprefix(f"{name} must be ") for rule in field.get(CEL_RULES, [])]
    return "; ".join(rules or _limits(field))


def _meaning(field: Schema, columns: tuple[str, ...]) -> str:
    """The description, with the choices where no column shows them."""
    if "Allowed" in columns or "enum" not in field:
        return str(field["description"])
    return f"{field['description']} One of {', '.join(f'`{choice}`' for choice in field['enum'])}."


def _limits(field: Schema) -> Iterator[str]:
    if "minimum" in field:
        yield f"{'greater than' if field.get('exclusiveMinimum') else 'at least'} {field['minimum']}"
    if "maximum" in field:
        yield f"{'less than' if field.get('exclusiveMaximum') else 'at most'} {field['maximum']}"
    for keyword, unit in (("maxLength", "characters"), ("maxItems", "entries"), ("maxProperties", "entries")):
        if keyword in field:
            yield f"at most {field[keyword]} {unit}"


def _format_row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
