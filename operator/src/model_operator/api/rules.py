"""What must hold beyond a field's type: each rule for the API server (CEL), for Python, and for its author. Pure.

A rule of CEL must compile, and be cheap enough, on Kubernetes 1.26: no comparison of a double with an integer, no
optional types, and a bound on the length of every string that it matches.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from model_artifact.recipe import (
    FILE_URI_PATTERN,
    LARGEST_BITS,
    LARGEST_INTEGER_BITS,
    NOT_QUANTISED,
    SHADOW_FREEZE,
    SHADOW_RAMP,
)
from model_operator import names
from model_operator.api.quality import ERRORS, list_metrics
from model_operator.api.structural import CEL_RULES, INT_OR_STRING

SMALLEST_BITS = 2
ALPHA_LIMIT = 5.0
_CLAIM = "pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
_BUCKET = "s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9]"
_PART = "(/[A-Za-z0-9_][-A-Za-z0-9_.]*)"
URI_PATTERN = FILE_URI_PATTERN
STORE_URI_PATTERN = f"^({_CLAIM}|{_BUCKET}{_PART}*)?$"
MODEL_URI_PATTERN = f"^({_CLAIM}|{_BUCKET}){_PART}*/[A-Za-z0-9_][-A-Za-z0-9_.]*[.]keras$"
DATASET_URI_PATTERN = MODEL_URI_PATTERN.replace("keras", "npz")
TENSORFLOW_IMAGE_PATTERN = "(^|/)tensorflow/serving([:@].*)?$"
DIGEST_PATTERN = "^sha256:[0-9a-f]{64}$"
WINDOW_PATTERN = "^[1-9][0-9]{0,4}[smh]$"
QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]+)?$"


@dataclass(frozen=True)
class ApiRule:
    """One rule; all three forms say the same."""

    cel: str
    message: str
    """Begins with the field and says what to do."""
    holds: Callable[[Any], bool]

    def check(self, value: Any) -> Any:
        """The value itself.

        Raises:
            ValueError: with the message, when the rule does not hold.
        """
        if not self.holds(value):
            raise ValueError(self.message)
        return value

    @property
    def schema(self) -> dict[str, Any]:
        """The keywords of JSON schema that have the API server check it."""
        return render_rules(self)


def render_rules(*rules: ApiRule) -> dict[str, Any]:
    """The keywords of JSON schema that have the API server check all of these."""
    return {CEL_RULES: [{"rule": rule.cel, "message": rule.message} for rule in rules]}


def _matching(pattern: str, message: str) -> ApiRule:
    return ApiRule(
        f"self.matches('{pattern}')", message, lambda text: isinstance(text, str) and bool(re.fullmatch(pattern, text))
    )


def is_model_name(name: str) -> bool:
    """Whether a model may be called so."""
    return len(name) <= names.LARGEST_MODEL_NAME_LENGTH and bool(re.fullmatch(names.MODEL_NAME_PATTERN, name))


def _name_cel(subject: str) -> str:
    return f"size({subject}) <= {names.LARGEST_MODEL_NAME_LENGTH} && {subject}.matches('{names.MODEL_NAME_PATTERN}')"


_NAME_FORM = (
    f"must be a DNS label that begins with a letter and has at most {names.LARGEST_MODEL_NAME_LENGTH}"
    " characters (a-z, 0-9, -)"
)

ALPHA = ApiRule(
    f"self >= 0.0 && self < {ALPHA_LIMIT}",
    "alpha must be at least 0 and less than 5; 0 prunes nothing",
    lambda alpha: 0 <= alpha < ALPHA_LIMIT,
)
BITS = ApiRule(
    f"(self >= {SMALLEST_BITS} && self <= {LARGEST_BITS}) || self == {NOT_QUANTISED}",
    f"bits must be {SMALLEST_BITS} to {LARGEST_BITS}, or {NOT_QUANTISED} to leave weights unquantised",
    lambda bits: SMALLEST_BITS <= bits <= LARGEST_BITS or bits == NOT_QUANTISED,
)
SHADOW_ONLY = ApiRule(
    "self.rule == 'Shadow' || (!has(self.granularity) && !has(self.ramp) && !has(self.freeze)"
    " && !has(self.channelSparsity) && !has(self.firstAndLastLayers))",
    "granularity must be left out, and so must ramp, freeze, channelSparsity and firstAndLastLayers, where rule is not"
    " Shadow",
    lambda part: (
        part.rule == "Shadow"
        or (part.granularity, part.ramp, part.freeze, part.channel_sparsity, part.first_and_last_layers) == (None,) * 5
    ),
)
SHADOW_MASTERS = ApiRule(
    "self.rule != 'Shadow' || ((!has(self.update) || self.update == 'Masters') && self.frequency == 'Step')",
    "update must not be InPlace, nor frequency Epoch, where rule is Shadow, which keeps masters; leave both out",
    lambda part: part.rule != "Shadow" or (part.update in {None, "Masters"} and part.frequency == "Step"),
)
EPOCH_IN_PLACE = ApiRule(
    "self.frequency != 'Epoch' || !has(self.update) || self.update == 'InPlace'",
    "update must be InPlace, or left out, where frequency is Epoch, which overwrites the weights",
    lambda part: part.frequency != "Epoch" or part.update in {None, "InPlace"},
)
SHARES = ApiRule(
    f"self.rule != 'Shadow' || (has(self.ramp) ? self.ramp : {SHADOW_RAMP})"
    f" + (has(self.freeze) ? self.freeze : {SHADOW_FREEZE}) <= 1.0",
    f"ramp must leave freeze its share of the training; make their sum at most 1 ({SHADOW_RAMP} and {SHADOW_FREEZE} are"
    " those that are left out)",
    lambda part: (
        part.rule != "Shadow"
        or (SHADOW_RAMP if part.ramp is None else part.ramp) + (SHADOW_FREEZE if part.freeze is None else part.freeze)
        <= 1
    ),
)
STRONG_SCHEDULE = ApiRule(
    "self.recipe != 'Strong' || self.learningRateSchedule == 'Constant'",
    "learningRateSchedule must be left out where recipe is Strong, which has a schedule of its own",
    lambda training: training.recipe != "Strong" or training.learning_rate_schedule == "Constant",
)
URI = _matching(
    URI_PATTERN,
    "uri must be pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the same namespace, or s3://BUCKET/KEY",
)
MODEL_URI = _matching(
    MODEL_URI_PATTERN,
    "uri must be pvc://CLAIM/PATH.keras, a file in a PersistentVolumeClaim of the same namespace, or"
    " s3://BUCKET/KEY.keras",
)
DATASET_URI = _matching(
    DATASET_URI_PATTERN,
    "uri must be pvc://CLAIM/PATH.npz, a file in a PersistentVolumeClaim of the same namespace, or s3://BUCKET/KEY.npz",
)
STORE_URI = _matching(
    STORE_URI_PATTERN,
    "uri must be s3://BUCKET/PREFIX, or pvc://CLAIM, a PersistentVolumeClaim of the same namespace; or leave store out",
)
DIGEST = _matching(DIGEST_PATTERN, "digest must be sha256: and 64 hexadecimal digits; model-artifact inspect prints it")
FILE_DIGEST = _matching(DIGEST_PATTERN, "digest must be sha256: and the 64 hexadecimal digits that sha256sum prints")
WINDOW = _matching(WINDOW_PATTERN, "window must be a whole number and s, m or h, for example 5m")
IMAGE_SIZE = ApiRule(
    "!(self.architecture == 'VGG16' && self.dataset == 'Digits')",
    "dataset must have images that the architecture takes; VGG16 needs 32x32 images: use CIFAR10",
    lambda training: not (training.architecture == "VGG16" and training.dataset == "Digits"),
)
STRONG_TASK = ApiRule(
    "self.recipe != 'Strong' || self.task == 'Classification'",
    "recipe must be left out where task is not Classification; Strong smooths classes and moves images",
    lambda model: model.recipe != "Strong" or model.task == "Classification",
)
ONE_SOURCE = ApiRule(
    "[has(self.training), has(self.model), has(self.artifact)].exists_one(stated, stated)",
    "source must be exactly one of training, model and artifact; state one and leave out the others",
    lambda source: sum(part is not None for part in (source.training, source.model, source.artifact)) == 1,
)
COMPRESSION = ApiRule(
    "has(self.compression) != has(self.source.artifact)",
    "compression must be stated with source.training or source.model, and only with them; an artifact is compressed"
    " already",
    lambda spec: (spec.compression is None) != (spec.source.artifact is None),
)
ENGINE = ApiRule(
    f"!has(self.engine) || !has(self.image) || !self.image.matches('{TENSORFLOW_IMAGE_PATTERN}')",
    "engine must be left out where image is TensorFlow Serving's, which has one of its own; name modelpress-server",
    lambda serving: serving.engine is None or not re.search(TENSORFLOW_IMAGE_PATTERN, serving.image),
)
INTEGER_WEIGHTS = ApiRule(
    "!has(self.serving) || !has(self.compression) || self.serving.precision != 'Int8'"
    f" || self.compression.bits <= {LARGEST_INTEGER_BITS}",
    f"serving.precision must not be Int8 where compression.bits is more than {LARGEST_INTEGER_BITS}; set it to Auto",
    lambda spec: (
        spec.compression is None or spec.serving.precision != "Int8" or spec.compression.bits <= LARGEST_INTEGER_BITS
    ),
)
REPLICA_RANGE = ApiRule(
    "self.minReplicas <= self.maxReplicas",
    "minReplicas must be at most maxReplicas; lower the one or raise the other",
    lambda autoscaling: autoscaling.min_replicas <= autoscaling.max_replicas,
)
QUALITY = ApiRule(
    "has(self.minimum) || has(self.maximum) || has(self.maximumLoss)",
    "quality must state minimum, maximum or maximumLoss; leave quality out where none is asked for",
    lambda quality: (quality.minimum, quality.maximum, quality.maximum_loss) != (None, None, None),
)
QUALITY_MINIMUM = ApiRule(
    f"!has(self.minimum) || !(self.metric in {list(ERRORS)})",
    f"minimum must be left out where metric is {' or '.join(ERRORS)}, of which less is better; state maximum",
    lambda quality: quality.minimum is None or quality.metric not in ERRORS,
)
QUALITY_MAXIMUM = ApiRule(
    f"!has(self.maximum) || self.metric in {list(ERRORS)}",
    f"maximum must be left out where metric is neither {' nor '.join(ERRORS)}: more is better; state minimum",
    lambda quality: quality.maximum is None or quality.metric in ERRORS,
)
QUALITY_OF_TASK = ApiRule(
    "!has(self.objectives) || !has(self.objectives.quality) || !has(self.source.model)"
    " || self.source.model.task == 'Classification' || self.objectives.quality.metric in"
    f" (self.source.model.task == 'Regression' ? {list(list_metrics('Regression'))}"
    f" : {list(list_metrics('Segmentation'))})",
    "objectives.quality.metric must judge source.model.task: state"
    f" {' or '.join(list_metrics('Regression'))} for Regression, {' or '.join(list_metrics('Segmentation'))} for"
    " Segmentation",
    lambda spec: (
        spec.objectives.quality is None
        or spec.source.model is None
        or spec.objectives.quality.metric in list_metrics(spec.source.model.task)
    ),
)
LOSS = ApiRule(
    "!has(self.objectives) || !has(self.objectives.quality) || !has(self.objectives.quality.maximumLoss)"
    " || has(self.baseline)",
    "objectives.quality.maximumLoss must have a baseline to compare with; state baseline.name, or use minimum instead",
    lambda spec: (
        spec.objectives.quality is None or spec.objectives.quality.maximum_loss is None or spec.baseline is not None
    ),
)
MODEL_NAME = ApiRule(
    _name_cel("self.metadata.name"),
    f"metadata.name {_NAME_FORM}; create the object under such a name",
    lambda model: is_model_name(model.metadata.name),
)
BASELINE_NAME = ApiRule(_name_cel("self"), f"name {_NAME_FORM}; name a CompressedModel", is_model_name)
OTHER_BASELINE = ApiRule(
    "!has(self.spec.baseline) || self.spec.baseline.name != self.metadata.name",
    "spec.baseline.name must be another model than this one; name the uncompressed one, or leave baseline out",
    lambda model: model.spec.baseline is None or model.spec.baseline.name != model.metadata.name,
)


def _check_quantity(value: Any) -> str | int:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not whole and not (isinstance(value, str) and re.fullmatch(QUANTITY_PATTERN, value)):
        raise ValueError("it must be a quantity as in a pod, for example 500m or 1Gi")
    return value  # type: ignore[no-any-return]


Quantity = Annotated[
    str | int,
    PlainValidator(_check_quantity),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": QUANTITY_PATTERN, INT_OR_STRING: True}
    ),
]
"""An amount of a resource, as in a pod: a whole number, or text such as 500m and 1Gi."""
