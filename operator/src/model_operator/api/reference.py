"""Renders the API's reference page from its CRD, so that the page never says more than the cluster checks. Pure."""

from collections.abc import Iterator

from model_operator import names
from model_operator.api.structural import CEL_RULES, Schema

_COLUMNS = ("Field", "Type", "Default", "Allowed", "Meaning")


def render_reference(crd: Schema) -> str:
    """Markdown: what the kind is called, the rules for the whole object, then one table for each object in it."""
    version = crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(column["name"] for column in version["additionalPrinterColumns"])
    identity = f"`apiVersion: {names.API_VERSION}`, `kind: {names.KIND}`, namespaced"
    lines = [
        f"# {names.KIND}",
        "",
        schema["description"],
        "",
        f"{identity}. `kubectl get {names.SHORT_NAME}` prints NAME, {columns}.",
        *(f"\n{rule['message']}." for rule in schema[CEL_RULES]),
        *_render_object("spec", schema["properties"]["spec"]),
    ]
    return "\n".join(lines) + "\n"


def _render_object(path: str, node: Schema) -> Iterator[str]:
    yield from ("", f"## `{path}`", "", node["description"], "")
    yield _format_row(_COLUMNS)
    yield _format_row(["---"] * len(_COLUMNS))
    for name, field in node["properties"].items():
        required = name in node.get("required", [])
        yield _format_row(
            (f"`{name}`", field["type"], _default(field, required), _allowed(name, field), _meaning(field))
        )
    for name, field in node["properties"].items():
        if "properties" in field:
            yield from _render_object(f"{path}.{name}", field)


def _default(field: Schema, required: bool) -> str:
    if required:
        return "required"
    return f"`{field['default']}`" if "default" in field else ""


def _allowed(name: str, field: Schema) -> str:
    """What the field may be, in words: its choices, its rules, or its limits."""
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    rules = [rule["message"].removeprefix(f"{name} must be ") for rule in field.get(CEL_RULES, [])]
    return "; ".join(rules or _limits(field))


def _limits(field: Schema) -> Iterator[str]:
    if "minimum" in field:
        yield f"{'greater than' if field.get('exclusiveMinimum') else 'at least'} {field['minimum']}"
    if "maximum" in field:
        yield f"{'less than' if field.get('exclusiveMaximum') else 'at most'} {field['maximum']}"


def _meaning(field: Schema) -> str:
    return str(field.get("description", ""))


def _format_row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
