"""What each call of the PredictionService answers; the same for gRPC, REST and warm-up records. Pure but for the run.

The texts of refusals are TensorFlow Serving's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray

from model_server import dtypes
from model_server._protos.tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from model_server.engine import DEFAULT_SIGNATURE
from model_server.errors import (
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    UnimplementedError,
)
from model_server.example_spec import METHODS
from model_server.examples import as_objects, as_strings, read_input
from model_server.servable import Servable
from model_server.signatures import (
    CLASSES_OUTPUT,
    EXAMPLES_INPUT,
    PREDICT_METHOD,
    REGRESSION_OUTPUT,
    SCORES_OUTPUT,
    Signature,
)
from model_server.wire_grpc import parse_tensor, render_tensor

Array = NDArray[np.generic]
# Runs a signature over arrays by alias; the outputs are those of the filter, or all.
Run = Callable[[Signature, dict[str, Array], Sequence[str]], dict[str, Array]]


class AskedSpec(Protocol):
    """A ModelSpec, of ours or of the wire."""

    @property
    def name(self) -> str:
        """The model's."""

    @property
    def signature_name(self) -> str:
        """The signature's; empty for the default."""


CLASSIFY_METHOD, REGRESS_METHOD = METHODS["classify"], METHODS["regress"]


@dataclass(frozen=True)
class Inference:
    """Requests as messages in, responses as messages out, over one servable."""

    check_methods: bool = False
    as_content: bool = False

    def predict(self, servable: Servable, request: predict_pb2.PredictRequest, run: Run) -> predict_pb2.PredictResponse:
        """The outputs that the request's filter names, or all.

        Raises:
            ServingError: The signature is unknown or made for something else, or inputs or filter are wrong.
        """
        signature = self.find_predict_signature(servable, request.model_spec.signature_name or DEFAULT_SIGNATURE)
        inputs = {alias: parse_tensor(alias, tensor) for alias, tensor in request.inputs.items()}
        return self.render_prediction(servable, request.model_spec, run(signature, inputs, request.output_filter))

    def find_predict_signature(self, servable: Servable, name: str) -> Signature:
        """The signature of this name.

        Raises:
            ServingError: It is unknown, or made for something else.
        """
        signature = servable.signatures.get(name)
        if signature is None:
            raise FailedPreconditionError(f'Serving signature key "{name}" not found.')
        self._check_predict_method(signature)
        return signature

    def render_prediction(
        self, servable: Servable, asked: AskedSpec, outputs: dict[str, Array]
    ) -> predict_pb2.PredictResponse:
        """The outputs as the answer to who asked for the model in these words."""
        response = predict_pb2.PredictResponse()
        _set_spec(response.model_spec, servable, asked)
        for alias, array in outputs.items():
            render_tensor(array, response.outputs[alias], as_content=self.as_content)
        return response

    def _check_predict_method(self, signature: Signature) -> None:
        if not self.check_methods:
            return
        allowed = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
        method = signature.definition.method_name
        if method not in allowed:
            raise InternalError(
                f"Expected prediction signature method_name to be one of {{{', '.join(allowed)}}}. Was: {method}"
            )

    def classify(
        self, servable: Servable, request: classification_pb2.ClassificationRequest, run: Run
    ) -> classification_pb2.ClassificationResponse:
        """Labels, scores or both for each example.

        Raises:
            ServingError: The signature does not classify, or an example lacks what it needs.
        """
        signature = _find_signature(servable, request.model_spec)
        self._check_classifies(signature)
        outputs, count = _run_examples(signature, request.input, run)
        response = classification_pb2.ClassificationResponse()
        _set_spec(response.model_spec, servable, request.model_spec)
        _render_classifications(outputs, count, response.result)
        return response

    def regress(
        self, servable: Servable, request: regression_pb2.RegressionRequest, run: Run
    ) -> regression_pb2.RegressionResponse:
        """One number for each example.

        Raises:
            ServingError: The signature does not regress, or an example lacks what it needs.
        """
        signature = _find_signature(servable, request.model_spec)
        self._check_regresses(signature)
        outputs, count = _run_examples(signature, request.input, run)
        response = regression_pb2.RegressionResponse()
        _set_spec(response.model_spec, servable, request.model_spec)
        _render_regressions(outputs, count, response.result)
        return response

    def infer(
        self, servable: Servable, request: inference_pb2.MultiInferenceRequest, run: Run
    ) -> inference_pb2.MultiInferenceResponse:
        """Several classifications and regressions of the same examples.

        Raises:
            ServingError: The tasks do not go together, or one of them fails.
        """
        signatures = self._find_tasks(servable, request)
        response = inference_pb2.MultiInferenceResponse()
        for task, signature in zip(request.tasks, signatures, strict=True):
            outputs, count = _run_examples(signature, request.input, run)
            result = response.results.add()
            _set_spec(result.model_spec, servable, task.model_spec)
            if task.method_name == CLASSIFY_METHOD:
                _render_classifications(outputs, count, result.classification_result)
            else:
                _render_regressions(outputs, count, result.regression_result)
        return response

    def _find_tasks(self, servable: Servable, request: inference_pb2.MultiInferenceRequest) -> list[Signature]:
        signatures: dict[str, Signature] = {}
        names = {task.model_spec.name for task in request.tasks}
        for task in request.tasks:
            if not task.model_spec.name:
                raise InvalidArgumentError("Found ModelSpec with an empty model name.")
            if len(names - {""}) > 1:
                raise InvalidArgumentError("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
            name = task.model_spec.signature_name or DEFAULT_SIGNATURE
            if name in signatures:
                raise InvalidArgumentError(f"Duplicate evaluation of signature: {name}")
            if name not in servable.signatures:
                raise InvalidArgumentError(f"Requested signature not found in model graph: {name}")
            signatures[name] = servable.signatures[name]
            if task.method_name == CLASSIFY_METHOD:
                self._check_classifies(signatures[name])
            elif task.method_name == REGRESS_METHOD:
                self._check_regresses(signatures[name])
            else:
                raise UnimplementedError(f"Unsupported signature method_name: {task.method_name}")
        return list(signatures.values())

    def _check_classifies(self, signature: Signature) -> None:
        definition = signature.definition
        if self.check_methods and definition.method_name != CLASSIFY_METHOD:
            raise InvalidArgumentError(
                f"Expected classification signature method_name to be {CLASSIFY_METHOD}. Was: {definition.method_name}"
            )
        if len(definition.inputs) != 1:
            raise InvalidArgumentError("Expected one input Tensor.")
        if len(definition.outputs) not in {1, 2}:
            raise InvalidArgumentError(f"Expected one or two output Tensors, found {len(definition.outputs)}")
        if EXAMPLES_INPUT not in definition.inputs:
            raise InvalidArgumentError(
                f"No classification inputs found in SignatureDef: {text_format.MessageToString(definition)}"
            )
        if not {CLASSES_OUTPUT, SCORES_OUTPUT} & set(definition.outputs):
            raise InvalidArgumentError(
                "Expected classification signature outputs to contain at least one of"
                f' "{CLASSES_OUTPUT}" or "{SCORES_OUTPUT}". Signature was: {text_format.MessageToString(definition)}'
            )

    def _check_regresses(self, signature: Signature) -> None:
        definition = signature.definition
        if self.check_methods and definition.method_name != REGRESS_METHOD:
            raise InvalidArgumentError(
                f"Expected regression signature method_name to be {REGRESS_METHOD}. Was: {definition.method_name}"
            )
        if len(definition.inputs) != 1:
            raise InvalidArgumentError("Expected one input Tensor.")
        if len(definition.outputs) != 1:
            raise InvalidArgumentError("Expected one output Tensor.")
        if EXAMPLES_INPUT not in definition.inputs:
            raise InvalidArgumentError(
                f"No regression inputs found in SignatureDef: {text_format.MessageToString(definition)}"
            )
        if REGRESSION_OUTPUT not in definition.outputs:
            raise InvalidArgumentError(
                f"No regression outputs found in SignatureDef: {text_format.MessageToString(definition)}"
            )


def _find_signature(servable: Servable, spec: model_pb2.ModelSpec) -> Signature:
    name = spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise InvalidArgumentError(f"No signature was found with the name: {name}")
    return signature


def _set_spec(spec: model_pb2.ModelSpec, servable: Servable, asked: AskedSpec) -> None:
    spec.name = asked.name
    spec.signature_name = asked.signature_name or DEFAULT_SIGNATURE
    spec.version.value = servable.version


def _run_examples(signature: Signature, message: input_pb2.Input, run: Run) -> tuple[dict[str, Array], int]:
    """The outputs, and how many examples there were."""
    examples = read_input(message)
    strings = as_objects(examples) if signature.features else as_strings(examples)
    return run(signature, {EXAMPLES_INPUT: strings}, ()), len(examples)


def _render_classifications(
    outputs: dict[str, Array], count: int, result: classification_pb2.ClassificationResult
) -> None:
    classes, scores = outputs.get(CLASSES_OUTPUT), outputs.get(SCORES_OUTPUT)
    if classes is not None:
        _check_matrix(classes, count, "classes", "DT_STRING")
    if scores is not None:
        _check_matrix(scores, count, "scores", "DT_FLOAT")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise InvalidArgumentError(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    labels = None if classes is None else classes.tolist()
    numbers = None if scores is None else scores.tolist()
    width = next(array.shape[1] for array in (classes, scores) if array is not None)
    for row in range(count):
        found = result.classifications.add().classes
        for column in range(width):
            one = found.add()
            if labels is not None:
                one.label = labels[row][column]
            if numbers is not None:
                one.score = numbers[row][column]


def _check_matrix(array: Array, count: int, name: str, dtype: str) -> None:
    if array.ndim != 2:
        raise InvalidArgumentError(f"Expected Tensor shape: [batch_size num_classes] but got {_format_shape(array)}")
    actual = dtypes.BY_NUMPY[array.dtype].name
    if actual != dtype:
        raise InvalidArgumentError(f"Expected {name} Tensor of {dtype}. Got: {actual}")
    if array.shape[0] != count:
        raise InvalidArgumentError(f"Expected {name} output batch size of {count}. Got: {array.shape[0]}")


def _render_regressions(outputs: dict[str, Array], count: int, result: regression_pb2.RegressionResult) -> None:
    array = outputs[REGRESSION_OUTPUT]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise InvalidArgumentError(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_format_shape(array)}"
        )
    if array.shape[0] != count:
        raise InvalidArgumentError(f"Input batch size did not match output batch size: {count} vs. {array.shape[0]}")
    actual = dtypes.BY_NUMPY[array.dtype].name
    if actual != "DT_FLOAT":
        raise InvalidArgumentError(f"Expected output Tensor of DT_FLOAT.  Got: {actual}")
    for value in array.reshape(-1).tolist():
        result.regressions.add().value = value


def _format_shape(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"
