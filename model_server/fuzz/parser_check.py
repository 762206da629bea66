# ruff: noqa: INP001  (scripts beside the package, not of it)
"""What must hold for any bytes that a client sends: they are refused with our error, or answered, and nothing else.

The first byte of an input says which parser and which model; the rest is what the client sends.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from model_server._protos.tensorflow_serving.apis import predict_pb2
from model_server.engine import ignore_times
from model_server.errors import ServingError
from model_server.inference import Inference
from model_server.json_numbers import format_tensor
from model_server.predict_forms import PredictForms
from model_server.servable import EngineSettings, Servable, load_servable
from model_server.wire_rest import format_outputs, parse_body, parse_inputs

MODELS = ("half_plus_two", "tiny_image", "two_by_two", "echo_bytes")
_DATA = Path(__file__).parents[1] / "tests" / "data"
# A few bytes may ask for a tensor of 256 MiB, which is allowed, and too slow to try again and again.
LARGEST_RUN_ITEMS = 1_000_000
_INFERENCE = Inference()


class FaultError(Exception):
    """A promise that did not hold."""


class ParserCheck:
    """The committed models, loaded once."""

    def __init__(self) -> None:
        settings = EngineSettings(interpreters=1, threads=1)
        self._servables = [load_servable(name, 1, _DATA / name, settings) for name in MODELS]
        self._forms = {servable.name: PredictForms(_INFERENCE) for servable in self._servables}

    def check(self, data: bytes) -> bool:
        """Whether the input was answered.

        Raises:
            FaultError: Two ways to read it differ, or an answer has not the shape of its question.
        """
        if not data:
            return False
        servable = self._servables[(data[0] >> 1) % len(MODELS)]
        if data[0] & 1:
            return _check_rest(servable, data[1:])
        return _check_grpc(servable, data[1:], self._forms[servable.name])


def _check_rest(servable: Servable, body: bytes) -> bool:
    signature = servable.signatures["serving_default"]
    quick = servable.parse_rows(signature, body)
    try:
        inputs, row_format = parse_inputs(parse_body(body), signature)
    except ServingError:
        if quick is not None:
            raise FaultError("the short way takes what the long way refuses") from None
        return False
    if quick is not None:
        for name, array in quick.items():
            if not row_format or array.dtype != inputs[name].dtype or not np.array_equal(array, inputs[name]):
                raise FaultError("the short way and the long way differ")
    outputs = _run(servable, signature, inputs)
    if outputs is None:
        return False
    try:
        format_outputs(outputs, row_format=row_format)
    except ServingError:
        return False
    return True


def _check_grpc(servable: Servable, message: bytes, forms: PredictForms) -> bool:
    try:
        request = predict_pb2.PredictRequest.FromString(message)
    except DecodeError:
        _expect_refusal(lambda: forms.read(message), DecodeError)
        return False

    def run(signature: Any, inputs: dict[str, Any], _: Any) -> dict[str, Any]:
        if inputs.keys() != signature.inputs.keys():
            return {}
        return _run(servable, signature, inputs) or {}

    try:
        response = _INFERENCE.predict(servable, request, run)
    except ServingError:
        _expect_refusal(lambda: forms.answer(servable, forms.read(message), run), ServingError)
        return False
    # The first time the form is learnt, the second time it is known, and its answer's form is learnt, and so on.
    for _ in range(3):
        answer = predict_pb2.PredictResponse.FromString(forms.answer(servable, forms.read(message), run))
        # As text, since there are many NaN.
        if str(answer) != str(response):
            raise FaultError(f"by its form it is answered with {answer}, otherwise with {response}"[:1000])
    return bool(response.outputs)


def _expect_refusal(answer: Callable[[], object], error: type[Exception]) -> None:
    try:
        answer()
    except error:
        return
    raise FaultError("what is refused otherwise is answered by its form")


def _run(servable: Servable, signature: Any, inputs: dict[str, Any]) -> dict[str, Any] | None:
    """The outputs, checked; None where the engine refuses the inputs, or they are too many to try."""
    if any(array.size > LARGEST_RUN_ITEMS for array in inputs.values()):
        return None
    try:
        outputs = servable.run(signature, inputs, 60.0, ignore_times)
    except ServingError:
        return None
    if servable.name == "half_plus_two":
        (given,), (answer,) = inputs.values(), outputs.values()
        # LiteRT's plain kernels, which take the ranks that the file does not declare, keep infinity within float32.
        limits = np.finfo(np.float32)
        expected = np.clip(given.astype(np.float64) / 2 + 2, limits.min, limits.max)
        found = np.clip(answer.astype(np.float64), limits.min, limits.max)
        if answer.shape != given.shape or not np.allclose(found, expected, equal_nan=True):
            raise FaultError(f"{format_tensor(given)[:500]} is answered with {format_tensor(answer)[:500]}")
    return outputs
