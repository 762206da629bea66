"""Predict from bytes to bytes. What a message has in common with an earlier one is neither parsed nor built again.

A client sends the same bytes again and again but for the content of its tensor, and is answered with the same bytes but
for the numbers. Such a message is kept as a form: what stands before the hole and behind it. Protobuf reads a field of
bytes by its length, which stands before the hole: so whatever fills the hole, the rest of the message means the same.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from model_server import dtypes
from model_server._protos.tensorflow_serving.apis import model_pb2, predict_pb2
from model_server.errors import InvalidArgumentError
from model_server.inference import Inference, Run
from model_server.predict import ModelSpec
from model_server.servable import Servable
from model_server.wire_grpc import parse_tensor

Array = NDArray[np.generic]

LARGEST_FORM_BYTES = 4096
LARGEST_HOLE_BYTES = 128 * 1024
SMALLEST_HOLE_BYTES = 16
# Forms of one length, and lengths: more of either than that, and all are forgotten.
MOST_ALIKE = 4
MOST_FORMS = 64
# Numbers that take as many bytes whatever they are.
_FIXED = ("float_val", "double_val")


@dataclass(frozen=True)
class Form:
    """A message with a hole."""

    before: bytes
    behind: bytes

    def fill(self, content: bytes) -> bytes:
        """The whole message."""
        return self.before + content + self.behind

    def fits(self, message: bytes) -> bool:
        """Whether a message of the same length differs in the hole alone."""
        return message.startswith(self.before) and message.endswith(self.behind)


@dataclass(frozen=True)
class RequestForm:
    """What requests of one form say, but for the numbers of their only tensor."""

    form: Form
    spec: ModelSpec
    alias: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    output_filter: tuple[str, ...]

    def read(self, message: bytes) -> Array:
        """The tensor of a request that fits."""
        content = message[len(self.form.before) : len(message) - len(self.form.behind)]
        return np.frombuffer(content, self.dtype).reshape(self.shape)


class Question:
    """A PredictRequest: parsed, or of a form that is known."""

    __slots__ = ("form", "message", "request")

    def __init__(self, message: bytes, form: RequestForm | None, request: Any) -> None:
        self.message = message
        self.form = form
        self.request = request

    @property
    def model_spec(self) -> Any:
        """Which model it means; its name is a field of it."""
        return self.request.model_spec if self.form is None else self.form.spec

    def parse_spec(self) -> ModelSpec:
        """Which model it means.

        Raises:
            InvalidArgumentError: It does not say.
        """
        return parse_request_spec(self.request) if self.form is None else self.form.spec


class PredictForms:
    """Reads requests and answers them; used by many threads."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._requests: dict[int, tuple[RequestForm, ...]] = {}
        self._answers: dict[tuple[Any, ...], Form] = {}

    def read(self, message: bytes) -> Question:
        """The request, as far as it must be understood to find its model.

        Raises:
            DecodeError: It is no PredictRequest.
        """
        for known in self._requests.get(len(message), ()):
            if known.form.fits(message):
                return Question(message, known, None)
        return Question(message, None, predict_pb2.PredictRequest.FromString(message))

    def answer(self, servable: Servable, question: Question, run: Run) -> bytes:
        """A PredictResponse with the outputs that the request's filter names, or all.

        Raises:
            ServingError: As `Inference.predict`.
        """
        known = question.form
        if known is None:
            response = self._inference.predict(servable, question.request, run)
            self._learn(plan_request_form(question.message, question.request))
            return bytes(response.SerializeToString())
        signature = self._inference.find_predict_signature(servable, known.spec.signature)
        outputs = run(signature, {known.alias: known.read(question.message)}, known.output_filter)
        key = known.spec.name, known.spec.signature, servable.version, *_describe(outputs)
        form = self._answers.get(key)
        if form is not None:
            (array,) = outputs.values()
            return form.fill(array.tobytes())
        content = self._render(servable, known.spec, outputs)
        if len(self._answers) >= MOST_FORMS:
            self._answers.clear()
        form = self._plan_answer_form(servable, known.spec, outputs, content)
        if form is not None:
            self._answers[key] = form
        return content

    def _learn(self, form: RequestForm | None) -> None:
        if form is None:
            return
        size = len(form.form.before) + len(form.form.behind) + math.prod(form.shape) * form.dtype.itemsize
        alike = self._requests.get(size, ())
        if len(self._requests) >= MOST_FORMS or len(alike) >= MOST_ALIKE:
            self._requests.clear()
            alike = ()
        self._requests[size] = (*alike, form)

    def _render(self, servable: Servable, spec: ModelSpec, outputs: dict[str, Array]) -> bytes:
        return bytes(self._inference.render_prediction(servable, spec, outputs).SerializeToString())

    def _plan_answer_form(
        self, servable: Servable, spec: ModelSpec, outputs: dict[str, Array], content: bytes
    ) -> Form | None:
        """The form of the answer `content`, or None where it has none; tried with other numbers."""
        if len(outputs) != 1:
            return None
        ((alias, array),) = outputs.items()
        if dtypes.BY_NUMPY[array.dtype].values_field not in _FIXED:
            return None
        form = cut_form(content, array.tobytes())
        if form is None:
            return None
        other = np.arange(1, array.size + 1).astype(array.dtype).reshape(array.shape)
        return form if self._render(servable, spec, {alias: other}) == form.fill(other.tobytes()) else None


def plan_request_form(message: bytes, request: predict_pb2.PredictRequest) -> RequestForm | None:
    """The form of a request that was answered, or None where it has none; tried with another content."""
    if len(request.inputs) != 1 or not request.HasField("model_spec"):
        return None
    ((alias, tensor),) = request.inputs.items()
    form = cut_form(message, tensor.tensor_content)
    if form is None:
        return None
    other = predict_pb2.PredictRequest()
    other.CopyFrom(request)
    other.inputs[alias].tensor_content = tensor.tensor_content.translate(_INVERTED)
    try:
        tried = predict_pb2.PredictRequest.FromString(form.fill(other.inputs[alias].tensor_content))
    except DecodeError:
        return None
    if tried != other:
        return None
    array = parse_tensor(alias, tensor)
    return RequestForm(form, parse_request_spec(request), alias, array.dtype, array.shape, tuple(request.output_filter))


def cut_form(message: bytes, content: bytes) -> Form | None:
    """The message with a hole where the content stands first; None where it is not there, or the parts have no size."""
    rest = len(message) - len(content)
    if not SMALLEST_HOLE_BYTES <= len(content) <= LARGEST_HOLE_BYTES or rest > LARGEST_FORM_BYTES:
        return None
    start = message.find(content)
    return None if start < 0 else Form(message[:start], message[start + len(content) :])


def parse_request_spec(request: Any) -> ModelSpec:
    """Which model a request for one signature means.

    Raises:
        InvalidArgumentError: It does not say.
    """
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
    return parse_model_spec(request.model_spec)


def parse_model_spec(spec: model_pb2.ModelSpec) -> ModelSpec:
    """Which model the message means."""
    return ModelSpec(
        spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label, spec.signature_name
    )


def _describe(outputs: dict[str, Array]) -> list[Any]:
    return [part for alias, array in outputs.items() for part in (alias, array.dtype, array.shape)]


_INVERTED = bytes(255 - value for value in range(256))
