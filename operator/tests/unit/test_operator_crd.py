import itertools
import re
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from model_operator import names
from model_operator.api.crd import render_crd
from model_operator.api.structural import CEL_RULES, render_structural_schema
from model_operator.errors import GenerationError

# Keywords of a structural schema that we use; the API server refuses or drops many others of JSON schema.
STRUCTURAL = {
    "description", "type", "enum", "default", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum",
    "required", "properties", CEL_RULES,
}  # fmt: skip
CEL_FUNCTIONS_OF_1_26 = {"size", "matches"}


def version():
    (only,) = render_crd()["spec"]["versions"]
    return only


def nodes():
    """Every node of the schema with its path, the root's being empty."""

    def walk(path, node):
        yield path, node
        for name, child in node.get("properties", {}).items():
            yield from walk(f"{path}.{name}".lstrip("."), child)

    return dict(walk("", version()["schema"]["openAPIV3Schema"]))


def rules():
    """Every CEL rule: (path, type of the node, rule, message)."""
    return [
        (path, node["type"], entry["rule"], entry["message"])
        for path, node in nodes().items()
        for entry in node.get(CEL_RULES, [])
    ]


def test_the_crd_is_named_as_names_says():
    crd = render_crd()
    assert (crd["apiVersion"], crd["kind"]) == ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert crd["metadata"] == {"name": "compressedmodels.modelpress.dev"}
    assert crd["spec"]["group"] == "modelpress.dev"
    assert crd["spec"]["scope"] == "Namespaced"
    assert crd["spec"]["names"] == {
        "kind": "CompressedModel",
        "listKind": "CompressedModelList",
        "plural": "compressedmodels",
        "singular": "compressedmodel",
        "shortNames": ["cmod"],
    }
    assert names.API_VERSION == f"{names.GROUP}/{names.VERSION}" == "modelpress.dev/v1alpha1"


def test_the_one_version_is_served_and_stored_without_a_status():
    assert (version()["name"], version()["served"], version()["storage"]) == ("v1alpha1", True, True)
    assert "subresources" not in version()


def test_only_fields_that_are_obeyed_exist():
    training = {"task", "architecture", "dataset", "epochs", "batchSize", "learningRate", "learningRateSchedule",
                "momentum", "seed"}  # fmt: skip
    assert set(nodes()) == {
        *("", "apiVersion", "kind", "metadata", "spec"),
        *("spec.compression", "spec.compression.alpha", "spec.compression.bits", "spec.compression.rule"),
        *("spec.source", "spec.source.training"),
        *(f"spec.source.training.{field}" for field in training),
    }


def test_every_node_is_structural():
    types = {"object", "string", "integer", "number"}
    assert {path: node.keys() - STRUCTURAL for path, node in nodes().items() if node.keys() - STRUCTURAL} == {}
    assert [path for path, node in nodes().items() if node.get("type") not in types] == []


def test_exclusive_limits_are_flags_beside_a_limit():
    found = {
        path: {keyword: node[keyword] for keyword in node if keyword.startswith(("min", "max", "exclusive"))}
        for path, node in nodes().items()
        if "exclusiveMinimum" in node or "exclusiveMaximum" in node
    }
    assert found == {
        "spec.source.training.learningRate": {"minimum": 0, "exclusiveMinimum": True, "maximum": 10},
        "spec.source.training.momentum": {"minimum": 0, "maximum": 1, "exclusiveMaximum": True},
    }
    assert found["spec.source.training.learningRate"]["exclusiveMinimum"] is True


def test_what_is_required_exists_and_has_no_default():
    for path, node in nodes().items():
        for field in node.get("required", []):
            assert "default" not in node["properties"][field], f"{path}.{field}"
    required = {path: node["required"] for path, node in nodes().items() if "required" in node}
    assert required == {
        "": ["spec"],
        "spec": ["compression", "source"],
        "spec.compression": ["alpha", "bits"],
        "spec.source": ["training"],
        "spec.source.training": ["architecture", "dataset"],
    }


def test_an_optional_field_has_its_default_and_fits_it():
    defaults = {path: node["default"] for path, node in nodes().items() if "default" in node}
    prefix = "spec.source.training."
    assert defaults == {
        "spec.compression.rule": "Floor",
        f"{prefix}task": "Classification",
        f"{prefix}epochs": 50,
        f"{prefix}batchSize": 64,
        f"{prefix}learningRate": 0.05,
        f"{prefix}learningRateSchedule": "Constant",
        f"{prefix}momentum": 0.9,
        f"{prefix}seed": 0,
    }
    assert [path for path, value in defaults.items() if value not in nodes()[path].get("enum", [value])] == []


def test_choices_are_enums():
    enums = {path.rpartition(".")[2]: node["enum"] for path, node in nodes().items() if "enum" in node}
    assert enums == {
        "rule": ["Floor"],
        "task": ["Classification"],
        "architecture": ["CNN", "SmallCNN", "VGG16"],
        "dataset": ["CIFAR10", "Digits"],
        "learningRateSchedule": ["Constant", "Cosine"],
    }


def test_every_field_of_ours_is_described_in_sentences():
    envelope = {"apiVersion", "kind", "metadata"}
    for path, node in nodes().items():
        if path not in envelope:
            assert re.fullmatch(r"[A-Z][^\n]*\.", node["description"]), f"{path}: {node.get('description')!r}"


def test_metadata_is_restricted_by_rule_only():
    assert nodes()["metadata"] == {"type": "object"}


def test_printer_columns_show_fields_that_exist():
    columns = [(column["name"], column["type"], column["jsonPath"]) for column in version()["additionalPrinterColumns"]]
    assert columns == [
        ("ALPHA", "number", ".spec.compression.alpha"),
        ("BITS", "integer", ".spec.compression.bits"),
        ("AGE", "date", ".metadata.creationTimestamp"),
    ]
    for _, kind, path in columns[:2]:
        assert nodes()[path.lstrip(".")]["type"] == kind


def test_the_rules_are_these():
    assert [(path, rule) for path, _, rule, _ in rules()] == [
        ("", "size(self.metadata.name) <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"),
        ("spec.compression.alpha", "self >= 0.0 && self < 5.0"),
        ("spec.compression.bits", "(self >= 2 && self <= 16) || self == 32"),
    ]


@pytest.mark.parametrize(("path", "kind", "rule", "message"), rules())
def test_a_rule_compiles_on_kubernetes_1_26(path, kind, rule, message):
    outside_strings = re.sub(r"'[^']*'", "''", rule)
    assert set(re.findall(r"([A-Za-z_]\w*)\s*\(", outside_strings)) <= CEL_FUNCTIONS_OF_1_26, path
    assert not re.search(r"\?|\boptional\b|\borValue\b|\boldSelf\b", outside_strings), "no optional types in 1.26"
    assert outside_strings.count("(") == outside_strings.count(")"), message
    numbers = re.findall(r"\d+(?:\.\d+)?", outside_strings)
    # CEL of that version has no comparison between a double and an integer.
    assert numbers, "a rule here compares with a limit"
    assert all(("." in number) == (kind == "number") for number in numbers), f"{path}: {rule}"


@pytest.mark.parametrize(("path", "kind", "rule", "message"), rules())
def test_a_rule_names_its_field_and_the_remedy(path, kind, rule, message):
    field = path.rpartition(".")[2] or "metadata.name"
    assert message.startswith(f"{field} must be "), (kind, rule)
    assert "\n" not in message
    assert not message.endswith(".")


@pytest.mark.parametrize(
    ("path", "accepted", "refused"),
    [
        ("spec.compression.alpha", [0.0, 1.25, 4.999], [-0.001, 5.0, 7.5]),
        ("spec.compression.bits", [*range(2, 17), 32], [-8, 0, 1, *range(17, 32), 33]),
    ],
)
def test_a_numeric_rule_accepts_what_the_types_accept(path, accepted, refused):
    ((_, _, rule, _),) = [entry for entry in rules() if entry[0] == path]
    expression = rule.replace("&&", "and").replace("||", "or")
    holds = [value for value in itertools.chain(accepted, refused) if eval(expression, {"self": value})]  # noqa: S307 our own rule, which without && and || is Python too
    assert holds == accepted


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
        (dict[str, int], "Odd.field: additionalProperties has no structural form here; change the field's type"),
        (Literal[1, "a"], "Odd.field has no type, which a structural schema needs; give the field one exact type"),
    ],
)
def test_a_field_without_a_structural_form_is_refused(annotation, message):
    odd = type("Odd", (BaseModel,), {"__annotations__": {"field": annotation}})
    with pytest.raises(GenerationError) as caught:
        render_structural_schema(odd)
    assert str(caught.value) == message
