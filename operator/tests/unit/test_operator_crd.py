import functools
import itertools
import re

import pytest
import yaml

from model_operator import names
from model_operator.api.crd import render_crd
from model_operator.api.rules import QUANTITY_PATTERN
from model_operator.api.structural import (
    CEL_RULES,
    LIST_MAP_KEYS,
    LIST_TYPE,
    PRESERVE,
)

# Keywords of a structural schema that we use; the API server refuses or drops many others of JSON schema.
STRUCTURAL = {
    "description", "type", "format", "enum", "default", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum",
    "maxLength", "maxItems", "maxProperties", "required", "properties", "items", "additionalProperties",
    CEL_RULES, PRESERVE, LIST_TYPE, LIST_MAP_KEYS,
}  # fmt: skip
QUANTITY = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": QUANTITY_PATTERN,
    "x-kubernetes-int-or-string": True,
}
CEL_FUNCTIONS = {"size", "matches", "has", "exists_one"}
LEARNING = {
    "epochs", "batchSize", "learningRate", "learningRateSchedule", "momentum", "seed", "maximumSteps", "recipe",
    "validationImages", "patience", "keep",
}  # fmt: skip
LOSS = (
    "!has(self.objectives) || !has(self.objectives.quality) || !has(self.objectives.quality.maximumLoss)"
    " || has(self.baseline)"
)
SHARES = "self.rule != 'Shadow' || (has(self.ramp) ? self.ramp : 0.5) + (has(self.freeze) ? self.freeze : 0.25) <= 1.0"
METRICS = ["Accuracy", "MeanAbsoluteError", "MeanSquaredError", "F1", "MeanIoU", "AUC"]
ERRORS = ["MeanAbsoluteError", "MeanSquaredError"]
CLAIM = "pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
BUCKET = "s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9]"
FILE = f"^({CLAIM}|{BUCKET})(/[A-Za-z0-9_][-A-Za-z0-9_.]*)*/[A-Za-z0-9_][-A-Za-z0-9_.]*"
STRONG = "self.recipe != 'Strong' || self.learningRateSchedule == 'Constant'"
MODEL_NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"


@functools.cache
def version():
    (only,) = render_crd()["spec"]["versions"]
    return only


@functools.cache
def nodes():
    """Every node of the schema with its path, the root's being empty; `[]` and `.*` are what lists and maps hold."""

    def walk(path, node):
        yield path, node
        for name, child in node.get("properties", {}).items():
            yield from walk(f"{path}.{name}".lstrip("."), child)
        for suffix, keyword in (("[]", "items"), (".*", "additionalProperties")):
            if keyword in node:
                yield from walk(f"{path}{suffix}", node[keyword])

    return dict(walk("", version()["schema"]["openAPIV3Schema"]))


def fields(path):
    return set(nodes()[path]["properties"])


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


def test_the_one_version_is_served_and_stored_with_its_subresources():
    assert (version()["name"], version()["served"], version()["storage"]) == ("v1alpha1", True, True)
    assert version()["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.serving.replicas",
            "labelSelectorPath": ".status.serving.selector",
        },
    }
    for path in version()["subresources"]["scale"].values():
        assert path.lstrip(".") in nodes()


def test_the_crd_fits_into_a_request_with_room_to_grow():
    assert len(yaml.safe_dump(render_crd())) < 100_000


def test_only_fields_that_are_obeyed_exist():
    assert fields("") == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert fields("spec") == {
        "compression", "source", "store", "build", "serving", "autoscaling", "replicas", "objectives", "baseline",
        "rollout", "suspend",
    }  # fmt: skip
    assert fields("spec.compression") == {
        "alpha", "bits", "rule", "update", "frequency", "granularity", "ramp", "freeze", "channelSparsity",
        "firstAndLastLayers",
    }  # fmt: skip
    assert fields("spec.source") == {"training", "model", "artifact"}
    assert fields("spec.source.training") == LEARNING | {"task", "architecture", "dataset", "precision"}
    assert fields("spec.source.model") == LEARNING | {"task", "uri", "digest", "dataset"}
    assert fields("spec.source.model.dataset") == {"uri", "digest"}
    assert fields("spec.source.artifact") == {"uri", "digest"}
    assert fields("spec.store") == {"uri"}
    placement = {"resources", "nodeSelector", "tolerations"}
    assert fields("spec.build") == placement | {"priorityClassName", "queueName", "timeoutSeconds", "retries"}
    assert fields("spec.serving") == placement | {"image", "engine", "precision"}
    assert fields("spec.autoscaling") == {
        "minReplicas", "maxReplicas", "targetCPUUtilizationPercentage", "metrics", "behavior",
    }  # fmt: skip
    assert fields("spec.objectives") == {
        "p95LatencyMilliseconds", "cpuMillicores", "memoryMebibytes", "errorPercent", "window", "quality",
    }  # fmt: skip
    assert fields("spec.objectives.quality") == {"metric", "minimum", "maximum", "maximumLoss"}
    assert fields("spec.baseline") == {"name"}
    assert fields("spec.rollout") == {"strategy"}


def test_every_node_is_structural():
    types = {"object", "string", "integer", "number", "boolean", "array"}
    typed = {path: node for path, node in nodes().items() if "x-kubernetes-int-or-string" not in node}
    assert {path: node.keys() - STRUCTURAL for path, node in typed.items() if node.keys() - STRUCTURAL} == {}
    assert [path for path, node in typed.items() if node.get("type") not in types] == []


def test_amounts_are_texts_or_whole_numbers_as_in_a_pod():
    amounts = {path: node for path, node in nodes().items() if "x-kubernetes-int-or-string" in node}
    assert sorted(amounts) == [
        f"spec.{part}.resources.{kind}.*" for part in ("build", "serving") for kind in ("limits", "requests")
    ]
    assert all(node == QUANTITY for node in amounts.values())


def test_what_autoscaling_v2_defines_is_kept_as_it_is():
    kept = {path: node["type"] for path, node in nodes().items() if node.get(PRESERVE)}
    assert kept == {"spec.autoscaling.metrics[]": "object", "spec.autoscaling.behavior": "object"}


def test_everything_of_the_spec_that_may_grow_has_a_bound():
    bounds = {"array": "maxItems", "string": "maxLength"}
    for path, node in nodes().items():
        if not path.startswith("spec") or "enum" in node:
            continue
        if node.get("type") in bounds:
            assert node[bounds[node["type"]]] > 0, path
        if "additionalProperties" in node:
            assert node["maxProperties"] > 0, path


def test_a_condition_is_found_by_its_type():
    conditions = nodes()["status.conditions"]
    assert (conditions[LIST_TYPE], conditions[LIST_MAP_KEYS]) == ("map", ["type"])
    assert set(nodes()["status.conditions[]"]["required"]) == fields("status.conditions[]")
    assert nodes()["status.conditions[].lastTransitionTime"]["format"] == "date-time"


def test_exclusive_limits_are_flags_beside_a_limit():
    found = {
        path: {keyword: node[keyword] for keyword in node if keyword.startswith(("min", "max", "exclusive"))}
        for path, node in nodes().items()
        if "exclusiveMinimum" in node or "exclusiveMaximum" in node
    }
    positive = {"minimum": 0, "exclusiveMinimum": True}
    assert found == {
        "spec.compression.channelSparsity": positive | {"maximum": 1, "exclusiveMaximum": True},
        **{f"spec.source.{part}.learningRate": positive | {"maximum": 10} for part in ("training", "model")},
        **{
            f"spec.source.{part}.momentum": {"minimum": 0, "maximum": 1, "exclusiveMaximum": True}
            for part in ("training", "model")
        },
        "spec.objectives.p95LatencyMilliseconds": positive,
        "spec.objectives.cpuMillicores": positive,
        "spec.objectives.memoryMebibytes": positive,
    }
    assert found["spec.source.training.learningRate"]["exclusiveMinimum"] is True


def test_what_is_required_exists_and_has_no_default():
    for path, node in nodes().items():
        for field in node.get("required", []):
            assert "default" not in node["properties"][field], f"{path}.{field}"
    required = {path: node["required"] for path, node in nodes().items() if "required" in node}
    assert {path: names for path, names in required.items() if not path.startswith("status")} == {
        "": ["spec"],
        "spec": ["source"],
        "spec.compression": ["alpha", "bits"],
        "spec.source.training": ["architecture", "dataset"],
        "spec.source.model": ["uri", "dataset"],
        "spec.source.model.dataset": ["uri"],
        "spec.source.artifact": ["uri", "digest"],
        "spec.baseline": ["name"],
    }


def test_an_optional_field_has_its_default_and_fits_it():
    defaults = {path: node["default"] for path, node in nodes().items() if "default" in node}
    learning = {
        "epochs": 50,
        "batchSize": 64,
        "learningRate": 0.05,
        "learningRateSchedule": "Constant",
        "momentum": 0.9,
        "seed": 0,
        "recipe": "Published",
        "validationImages": 0,
        "keep": "Last",
        "task": "Classification",
    }
    assert defaults == {
        "spec.compression.rule": "Floor",
        "spec.compression.frequency": "Step",
        **{f"spec.source.{part}.{name}": value for part in ("training", "model") for name, value in learning.items()},
        "spec.source.training.precision": "Float32",
        "spec.build": {},
        "spec.build.timeoutSeconds": 86_400,
        "spec.build.retries": 2,
        "spec.serving": {},
        "spec.serving.precision": "Auto",
        "spec.autoscaling.minReplicas": 1,
        "spec.autoscaling.maxReplicas": 5,
        "spec.autoscaling.targetCPUUtilizationPercentage": 70,
        "spec.replicas": 1,
        "spec.objectives": {},
        "spec.objectives.window": "5m",
        "spec.objectives.quality.metric": "Accuracy",
        "spec.rollout": {},
        "spec.rollout.strategy": "Rolling",
        "spec.suspend": False,
        "status": {"observedGeneration": -1},
        "status.serving.replicas": 0,
        "status.serving.readyReplicas": 0,
    }
    assert [path for path, value in defaults.items() if value not in nodes()[path].get("enum", [value])] == []


def test_choices_are_enums():
    enums = {path: node["enum"] for path, node in nodes().items() if "enum" in node}
    conditions = ["Ready", "ArtifactReady", "Available", "Reconciling", "Stalled", "WithinObjectives", "Compared"]
    tolerations = {
        f"spec.{part}.tolerations[].{field}": choices
        for part in ("build", "serving")
        for field, choices in {
            "operator": ["Equal", "Exists"],
            "effect": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
        }.items()
    }
    assert enums == tolerations | {
        "spec.compression.rule": ["Floor", "OffsetRound", "Shadow"],
        "spec.compression.update": ["Masters", "InPlace"],
        "spec.compression.frequency": ["Step", "Epoch"],
        "spec.compression.granularity": ["Tensor", "Channel"],
        "spec.compression.firstAndLastLayers": ["Compressed", "Dense"],
        **{
            f"spec.source.{part}.{name}": choices
            for part in ("training", "model")
            for name, choices in {
                "learningRateSchedule": ["Constant", "Cosine"],
                "recipe": ["Published", "Strong"],
                "keep": ["Last", "Best"],
            }.items()
        },
        "spec.source.training.task": ["Classification"],
        "spec.source.training.architecture": ["CNN", "SmallCNN", "VGG16"],
        "spec.source.training.dataset": ["CIFAR10", "Digits"],
        "spec.source.training.precision": ["Float32", "BFloat16"],
        "spec.source.model.task": ["Classification", "Regression", "Segmentation"],
        "spec.serving.engine": ["LiteRT", "OpenVINO"],
        "spec.serving.precision": ["Auto", "Float32", "Int8"],
        "spec.objectives.quality.metric": METRICS,
        "spec.rollout.strategy": ["Rolling", "Recreate"],
        "status.conditions[].type": conditions,
        "status.conditions[].status": ["True", "False", "Unknown"],
    }


def test_every_field_of_ours_is_described_in_sentences():
    described = set()
    for path, node in nodes().items():
        if path in {"apiVersion", "kind", "metadata"} or path.endswith((".*", "metrics[]")):
            continue
        assert re.fullmatch(r"([A-Z]|95 %)[^\n]*\.", node["description"]), f"{path}: {node.get('description')!r}"
        described.add(path)
    assert {"spec.serving.resources.requests", "spec.build.tolerations[].key", "status.history[].reason"} <= described


def test_metadata_is_restricted_by_rule_only():
    assert nodes()["metadata"] == {"type": "object"}


def test_printer_columns_show_fields_that_exist():
    columns = version()["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if "priority" not in column]
    assert shown == ["READY", "ALPHA", "BITS", "SIZE", "RATIO", "QUALITY", "P95", "MCORES", "MIB", "REPLICAS", "AGE"]
    wide = [column["name"] for column in columns if column.get("priority") == 1]
    assert wide == ["RULE", "REVISION", "DIGEST", "REASON"]
    assert len(columns) == len(shown) + len(wide)
    for column in columns:
        path = re.sub(r"\[\?\(@\.type==\"Ready\"\)\]", "[]", column["jsonPath"].lstrip("."))
        if path != "metadata.creationTimestamp":
            assert nodes()[path]["type"] == column["type"], column


def test_the_rules_are_these():
    assert [(path, rule) for path, _, rule, _ in rules()] == [
        ("", f"size(self.metadata.name) <= 45 && self.metadata.name.matches('{MODEL_NAME}')"),
        ("", "!has(self.spec.baseline) || self.spec.baseline.name != self.metadata.name"),
        ("spec", "has(self.compression) != has(self.source.artifact)"),
        ("spec", LOSS),
        (
            "spec",
            (
                "!has(self.objectives) || !has(self.objectives.quality) || !has(self.source.model)"
                " || self.source.model.task == 'Classification' || self.objectives.quality.metric in"
                f" (self.source.model.task == 'Regression' ? {ERRORS} : ['Accuracy', 'F1', 'MeanIoU'])"
            ),
        ),
        (
            "spec",
            (
                "!has(self.serving) || !has(self.compression) || self.serving.precision != 'Int8'"
                " || self.compression.bits <= 8"
            ),
        ),
        (
            "spec.compression",
            (
                "self.rule == 'Shadow' || (!has(self.granularity) && !has(self.ramp) && !has(self.freeze)"
                " && !has(self.channelSparsity) && !has(self.firstAndLastLayers))"
            ),
        ),
        (
            "spec.compression",
            "self.rule != 'Shadow' || ((!has(self.update) || self.update == 'Masters') && self.frequency == 'Step')",
        ),
        ("spec.compression", "self.frequency != 'Epoch' || !has(self.update) || self.update == 'InPlace'"),
        (
            "spec.compression",
            SHARES,
        ),
        ("spec.compression.alpha", "self >= 0.0 && self < 5.0"),
        ("spec.compression.bits", "(self >= 2 && self <= 16) || self == 32"),
        ("spec.source", "[has(self.training), has(self.model), has(self.artifact)].exists_one(stated, stated)"),
        ("spec.source.training", "!(self.architecture == 'VGG16' && self.dataset == 'Digits')"),
        ("spec.source.training", STRONG),
        ("spec.source.model", STRONG),
        ("spec.source.model", "self.recipe != 'Strong' || self.task == 'Classification'"),
        ("spec.source.model.uri", f"self.matches('{FILE}[.]keras$')"),
        ("spec.source.model.digest", "self.matches('^sha256:[0-9a-f]{64}$')"),
        ("spec.source.model.dataset.uri", f"self.matches('{FILE}[.]npz$')"),
        ("spec.source.model.dataset.digest", "self.matches('^sha256:[0-9a-f]{64}$')"),
        (
            "spec.source.artifact.uri",
            f"self.matches('^({CLAIM}|{BUCKET})(/[A-Za-z0-9_][-A-Za-z0-9_.]*)+$')",
        ),
        ("spec.source.artifact.digest", "self.matches('^sha256:[0-9a-f]{64}$')"),
        (
            "spec.store.uri",
            f"self.matches('^({CLAIM}|{BUCKET}(/[A-Za-z0-9_][-A-Za-z0-9_.]*)*)?$')",
        ),
        (
            "spec.serving",
            "!has(self.engine) || !has(self.image) || !self.image.matches('(^|/)tensorflow/serving([:@].*)?$')",
        ),
        ("spec.autoscaling", "self.minReplicas <= self.maxReplicas"),
        ("spec.objectives.window", "self.matches('^[1-9][0-9]{0,4}[smh]$')"),
        ("spec.objectives.quality", "has(self.minimum) || has(self.maximum) || has(self.maximumLoss)"),
        ("spec.objectives.quality", f"!has(self.minimum) || !(self.metric in {ERRORS})"),
        ("spec.objectives.quality", f"!has(self.maximum) || self.metric in {ERRORS}"),
        ("spec.baseline.name", f"size(self) <= 45 && self.matches('{MODEL_NAME}')"),
    ]


@pytest.mark.parametrize(("path", "kind", "rule", "message"), rules())
def test_a_rule_uses_what_kubernetes_1_26_has(path, kind, rule, message):
    # e2e/apiserver compiles every rule with that version's own code; this is the same in no time.
    outside_strings = re.sub(r"'[^']*'", "''", rule)
    assert set(re.findall(r"([A-Za-z_]\w*)\s*\(", outside_strings)) - {"in"} <= CEL_FUNCTIONS, path
    assert not re.search(r"\.\?|\[\?|\boptional\b|\borValue\b|\boldSelf\b", outside_strings), "no optionals in 1.26"
    assert outside_strings.count("(") == outside_strings.count(")"), message
    # CEL of that version has no comparison between a double and an integer.
    numbers = re.findall(r"\d+(?:\.\d+)?", outside_strings)
    assert kind == "object" or all(("." in number) == (kind == "number") for number in numbers), f"{path}: {rule}"


@pytest.mark.parametrize(("path", "kind", "rule", "message"), rules())
def test_a_rule_names_its_field_and_the_remedy(path, kind, rule, message):
    field, verb, _ = message.split(" ", 2)
    known = set(nodes()) | {"metadata.name"}
    assert field == path.rpartition(".")[2] or f"{path}.{field}".lstrip(".") in known, (kind, rule)
    assert verb == "must"
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
