import copy
import json
from types import MappingProxyType

import pytest
from pydantic import BaseModel, ValidationError

from model_artifact import recipe
from model_operator.api import source
from model_operator.api.problem import format_problem
from model_operator.api.structural import CEL_RULES
from model_operator.api.v1alpha1 import parse_model
from model_operator.errors import InvalidModelError, ModelOperatorError

NAME_REMEDY = (
    "metadata.name must be a DNS label that begins with a letter and has at most 45 characters (a-z, 0-9, -);"
    " create the object under such a name"
)
ALPHA_REMEDY = "alpha must be at least 0 and less than 5; 0 prunes nothing"
QUANTITY = "it must be a quantity as in a pod, for example 500m or 1Gi"
TRAINING = {"architecture": "SmallCNN", "dataset": "Digits"}
BITS_REMEDY = "bits must be 2 to 16, or 32 to leave weights unquantised"


def with_value(body, field, value):
    """A copy of the object with `field`, a dotted path, set to `value`."""
    changed = copy.deepcopy(body)
    *parents, last = field.split(".")
    node = changed
    for parent in parents:
        node = node[parent]
    node[last] = value
    return changed


def message_of(body):
    with pytest.raises(InvalidModelError) as caught:
        parse_model(body)
    return str(caught.value)


def test_required_fields_are_enough_and_the_rest_has_the_defaults(body):
    model = parse_model(body)
    assert model.metadata.name == "small"
    placement = {"resources": None, "nodeSelector": {}, "tolerations": ()}
    objectives = ("p95LatencyMilliseconds", "cpuMillicores", "memoryMebibytes", "errorPercent", "quality")
    assert model.spec.model_dump(by_alias=True) == {
        "compression": {
            "alpha": 1.0,
            "bits": 8,
            "rule": "Floor",
            "frequency": "Step",
            **dict.fromkeys(("update", "granularity", "ramp", "freeze", "channelSparsity", "firstAndLastLayers")),
        },
        "source": {
            "training": {
                "task": "Classification",
                "architecture": "SmallCNN",
                "dataset": "Digits",
                "epochs": 50,
                "batchSize": 64,
                "learningRate": 0.05,
                "learningRateSchedule": "Constant",
                "momentum": 0.9,
                "seed": 0,
                "maximumSteps": None,
                "recipe": "Published",
                "validationImages": 0,
                "patience": None,
                "keep": "Last",
                "precision": "Float32",
            },
            "model": None,
            "artifact": None,
        },
        "store": {"uri": ""},
        "build": placement | {"priorityClassName": "", "queueName": "", "timeoutSeconds": 86_400, "retries": 2},
        "serving": placement | {"image": "", "engine": None, "precision": "Auto"},
        "autoscaling": None,
        "replicas": 1,
        "objectives": dict.fromkeys(objectives) | {"window": "5m"},
        "baseline": None,
        "rollout": {"strategy": "Rolling"},
        "suspend": False,
    }


def test_an_empty_autoscaling_has_the_defaults(body):
    assert parse_model(with_value(body, "spec.autoscaling", {})).spec.autoscaling.model_dump(by_alias=True) == {
        "minReplicas": 1,
        "maxReplicas": 5,
        "targetCPUUtilizationPercentage": 70,
        "metrics": (),
        "behavior": None,
    }


def test_what_kubernetes_defines_is_taken_as_it_is(body):
    metric = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": 3}}}
    stated = {
        "serving": {
            "resources": {"requests": {"cpu": 1, "memory": "128Mi"}, "limits": {"example.com/chip": "2"}},
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "tolerations": [{"key": "lent", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
        },
        "autoscaling": {"metrics": [metric], "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}},
    }
    spec = parse_model(body | {"spec": body["spec"] | stated}).spec
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert {part: dumped[part] for part in stated} == stated


def test_a_known_artifact_needs_no_compression(body):
    artifact = {"uri": "pvc://modelpress-store/artifacts/a.zip", "digest": "sha256:" + "0" * 64}
    spec = parse_model(body | {"spec": {"source": {"artifact": artifact}}}).spec
    assert (spec.source.artifact.uri, spec.source.artifact.digest) == (artifact["uri"], artifact["digest"])
    assert (spec.source.training, spec.compression) == (None, None)


def test_a_model_of_ones_own_becomes_a_recipe_with_its_files(body):
    stated = {
        "uri": "pvc://mine/nets/own.keras",
        "dataset": {"uri": "s3://sets/own.npz", "digest": "sha256:" + "1" * 64},
    }
    changed = with_value(body, "spec.source", {"model": stated | {"epochs": 3, "recipe": "Strong"}})
    assert json.loads(parse_model(changed).recipe().canonical_json()) == {
        "recipeVersion": 1,
        "compression": {"alpha": 1.0, "bits": 8},
        "training": {
            "model": {"uri": "pvc://mine/nets/own.keras"},
            "data": {"uri": "s3://sets/own.npz", "digest": "sha256:" + "1" * 64},
            "epochs": 3,
            "recipe": "Strong",
        },
    }
    assert parse_model(changed).recipe().training.network_name == "own"


def test_stated_fields_replace_the_defaults(body):
    stated = {
        "task": "Classification",
        "architecture": "VGG16",
        "dataset": "CIFAR10",
        "epochs": 0,
        "batchSize": 65_536,
        "learningRate": 10,
        "learningRateSchedule": "Cosine",
        "momentum": 0,
        "seed": 2**31 - 1,
        "maximumSteps": 1,
        "recipe": "Published",
        "validationImages": 100,
        "patience": 3,
        "keep": "Best",
        "precision": "BFloat16",
    }
    model = parse_model(with_value(body, "spec.source.training", stated))
    assert model.spec.source.training.model_dump(by_alias=True) == stated


def test_any_mapping_is_taken(body):
    assert parse_model(MappingProxyType(body)) == parse_model(body)


def test_unknown_fields_are_ignored_at_every_level(body):
    expected = parse_model(body)
    for parent in ("", "metadata.", "spec.", "spec.compression.", "spec.source.", "spec.source.training."):
        assert parse_model(with_value(body, f"{parent}later", {"a": 1})) == expected


def test_a_python_name_is_not_a_wire_name(body):
    assert parse_model(with_value(body, "spec.source.training.batch_size", 7)).spec.source.training.batch_size == 64


def test_models_are_frozen(body):
    with pytest.raises(ValidationError, match="frozen"):
        parse_model(body).spec.compression.bits = 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spec.compression.alpha", 0),
        ("spec.compression.alpha", 4.999),
        ("spec.compression.bits", 2),
        ("spec.compression.bits", 16),
        ("spec.compression.bits", 32),
        ("spec.source.training.epochs", 10_000),
        ("spec.source.training.batchSize", 1),
        ("spec.replicas", 0),
        ("spec.autoscaling", {"minReplicas": 3, "maxReplicas": 3}),
        ("spec.build", {"retries": 0, "timeoutSeconds": 1}),
        ("spec.objectives", {"errorPercent": 0, "quality": {"minimum": 0}}),
        ("spec.baseline", {"name": "a" * 45}),
        ("metadata.name", "a"),
        ("metadata.name", "a-9"),
        ("metadata.name", "a" * 45),
    ],
)
def test_values_at_the_edge_are_accepted(body, field, value):
    parse_model(with_value(body, field, value))


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("spec.compression.alpha", -0.1, f"-0.1; {ALPHA_REMEDY}"),
        ("spec.compression.alpha", 5, f"5; {ALPHA_REMEDY}"),
        ("spec.compression.alpha", "1.25", '"1.25"; it must be a number'),
        ("spec.compression.alpha", True, "true; it must be a number"),
        ("spec.compression.alpha", float("nan"), "NaN; it must be a finite number"),
        ("spec.compression.bits", 1, f"1; {BITS_REMEDY}"),
        ("spec.compression.bits", 17, f"17; {BITS_REMEDY}"),
        ("spec.compression.bits", 8.5, "8.5; it must be a whole number"),
        ("spec.compression.bits", None, "null; it must be a whole number"),
        ("spec.compression.rule", "Round", "\"Round\"; it must be 'Floor', 'OffsetRound' or 'Shadow'"),
        ("spec.source.training.task", "Regression", "\"Regression\"; it must be 'Classification'"),
        ("spec.source.training.architecture", "cnn", "\"cnn\"; it must be 'CNN', 'SmallCNN' or 'VGG16'"),
        ("spec.source.training.dataset", 10, "10; it must be 'CIFAR10' or 'Digits'"),
        ("spec.source.training.epochs", -1, "-1; it must be at least 0"),
        ("spec.source.training.epochs", 10_001, "10001; it must be at most 10000"),
        ("spec.source.training.batchSize", 0, "0; it must be at least 1"),
        ("spec.source.training.batchSize", 65_537, "65537; it must be at most 65536"),
        ("spec.source.training.learningRate", 0, "0; it must be greater than 0.0"),
        ("spec.source.training.learningRate", 10.5, "10.5; it must be at most 10.0"),
        ("spec.source.training.learningRateSchedule", "Step", "\"Step\"; it must be 'Constant' or 'Cosine'"),
        ("spec.source.training.momentum", -0.5, "-0.5; it must be at least 0.0"),
        ("spec.source.training.momentum", 1, "1; it must be less than 1.0"),
        ("spec.source.training.seed", -1, "-1; it must be at least 0"),
        ("spec.source.training.seed", 2**31, "2147483648; it must be at most 2147483647"),
        ("spec.source.training.maximumSteps", 0, "0; it must be at least 1"),
        ("spec.replicas", -1, "-1; it must be at least 0"),
        ("spec.replicas", True, "true; it must be a whole number"),
        ("spec.suspend", "yes", '"yes"; it must be true or false'),
        ("spec.autoscaling", [], "[]; it must be a mapping of fields"),
        ("spec.compression", "8 bits", '"8 bits"; it must be a mapping of fields'),
        ("spec", ["x" * 80], f'["{"x" * 58}…; it must be a mapping of fields'),
    ],
)
def test_a_bad_value_is_named_with_its_field_and_remedy(body, field, value, problem):
    assert message_of(with_value(body, field, value)) == f"CompressedModel press/small: {field} is {problem}"


@pytest.mark.parametrize(
    ("field", "stated", "problem"),
    [
        ("rollout", {"strategy": "Canary"}, "strategy is \"Canary\"; it must be 'Rolling' or 'Recreate'"),
        ("build", {"retries": 11}, "retries is 11; it must be at most 10"),
        ("build", {"queueName": "q" * 64}, f'queueName is "{"q" * 59}…; it must have at most 63 characters'),
        ("serving", {"nodeSelector": ["a"]}, 'nodeSelector is ["a"]; it must be a mapping'),
        ("serving", {"tolerations": "all"}, 'tolerations is "all"; it must be a list'),
        ("serving", {"tolerations": [{}, {"effect": 1}]}, "tolerations.1.effect is 1; it must be 'NoSchedule', "),
        ("serving", {"resources": {"requests": {"cpu": "much"}}}, f'resources.requests.cpu is "much"; {QUANTITY}'),
        ("serving", {"resources": {"limits": {"cpu": -1}}}, f"resources.limits.cpu is -1; {QUANTITY}"),
        ("serving", {"resources": {"limits": {"cpu": True}}}, f"resources.limits.cpu is true; {QUANTITY}"),
        ("autoscaling", {"metrics": ["cpu"]}, 'metrics.0 is "cpu"; it must be a mapping'),
        ("autoscaling", {"targetCPUUtilizationPercentage": 0}, "targetCPUUtilizationPercentage is 0; it must be at"),
        ("objectives", {"window": "5 minutes"}, 'window is "5 minutes"; window must be a whole number and s, m or h'),
        ("objectives", {"p95LatencyMilliseconds": 0}, "p95LatencyMilliseconds is 0; it must be greater than 0"),
        ("objectives", {"errorPercent": 101}, "errorPercent is 101; it must be at most 100"),
        ("baseline", {"name": "Big"}, 'name is "Big"; name must be a DNS label that begins with a letter'),
        ("baseline", {}, "name is missing; state it"),
    ],
)
def test_a_bad_part_is_named_with_its_field_and_remedy(body, field, stated, problem):
    expected = f"CompressedModel press/small: spec.{field}.{problem}"
    assert message_of(with_value(body, f"spec.{field}", stated))[: len(expected)] == expected


@pytest.mark.parametrize("name", ["9a", "-a", "a-", "A", "a.b", "a" * 46, "a\n", ""])
def test_a_name_that_children_could_not_carry_is_refused(body, name):
    assert message_of(with_value(body, "metadata.name", name)).endswith(f": {NAME_REMEDY}")


@pytest.mark.parametrize(
    ("parent", "field"),
    [
        ("spec", "source"),
        ("spec.compression", "alpha"),
        ("spec.compression", "bits"),
        ("spec.source.training", "architecture"),
        ("spec.source.training", "dataset"),
    ],
)
def test_a_missing_field_is_named(body, parent, field):
    node = body
    for part in parent.split("."):
        node = node[part]
    del node[field]
    assert message_of(body) == f"CompressedModel press/small: {parent}.{field} is missing; state it"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"name": "small"}, "CompressedModel small: spec is missing; state it"),
        ({}, "CompressedModel without a name: metadata.name is missing; state it"),
        ("small", 'CompressedModel without a name: metadata is "small"; it must be a mapping of fields'),
        ({"name": 7}, "CompressedModel 7: metadata.name is 7; it must be a string"),
    ],
)
def test_an_object_is_named_by_what_it_states(body, metadata, expected):
    del body["spec"]
    assert message_of(body | {"metadata": metadata}) == expected


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("kind", "Deployment", 'kind is "Deployment"; it must be CompressedModel'),
        ("kind", None, "kind is null; it must be CompressedModel"),
        ("apiVersion", "modelpress.dev/v1", 'apiVersion is "modelpress.dev/v1"; it must be modelpress.dev/v1alpha1'),
    ],
)
def test_another_kind_or_version_is_refused(body, field, value, problem):
    assert message_of(body | {field: value}) == f"CompressedModel press/small: {problem}"


def test_an_error_without_a_remedy_of_ours_still_says_what_is_wrong():
    class Timed(BaseModel):
        at: bytes

    with pytest.raises(ValidationError) as caught:
        Timed.model_validate({"at": 3})
    assert format_problem(caught.value) == "at is 3; Input should be a valid bytes"


def test_errors_have_one_root():
    assert issubclass(InvalidModelError, ModelOperatorError)


@pytest.mark.parametrize("part", ["Compression", "Training"])
def test_limits_choices_and_defaults_are_those_of_the_recipe(part):
    def facts(model):
        texts = {"title", "description", CEL_RULES}
        schema = model.model_json_schema()
        fields = {
            name: {key: value for key, value in field.items() if key not in texts}
            for name, field in schema["properties"].items()
        }
        # The recipe states alpha's range as numbers; the API states it as a rule, which has a test of its own.
        if "alpha" in fields:
            fields["alpha"] = {"type": fields["alpha"]["type"]}
        return fields, schema.get("required", [])

    (stated, required), (known, needed) = facts(getattr(source, part)), facts(getattr(recipe, part))
    # Known networks learn classes alone, which is the recipe's default.
    if part == "Training":
        assert stated.pop("task")["const"] == known["task"]["default"]
    # A recipe may say more than the API lets it, and takes files of the user's in place of what the API requires.
    for name, field in stated.items():
        assert field in (known[name], without_absence(known[name])), name
    assert set(required) == set(needed) | ({"architecture", "dataset"} if part == "Training" else set())


def without_absence(field):
    choices = [choice for choice in field.get("anyOf", [field]) if choice != {"type": "null"}]
    return choices[0] if len(choices) == 1 else field


@pytest.mark.parametrize("bits", range(-1, 41))
@pytest.mark.parametrize("alpha", [-1e-9, 0, 1.25, 4.999999, 5])
def test_what_the_api_takes_the_recipe_takes(body, alpha, bits):
    def takes(check, *arguments):
        try:
            check(*arguments)
        except (InvalidModelError, ValidationError):
            return False
        return True

    compression = {"alpha": alpha, "bits": bits}
    by_api = takes(parse_model, with_value(body, "spec.compression", compression))
    assert by_api == takes(recipe.Compression.model_validate, compression)
    assert by_api == (0 <= alpha < 5 and (bits == 32 or bits in range(2, 17)))
