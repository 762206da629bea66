# ruff: noqa: INP001  (a script beside the package, not of it)
"""Writes the seeds of the fuzzer: requests of every form for every committed model.

.venv/bin/python model_server/fuzz/make_corpus.py
"""

import json
from pathlib import Path

import numpy as np
from parser_check import MODELS

from model_server._protos.tensorflow_serving.apis import predict_pb2
from model_server.dtypes import BY_NUMPY
from model_server.wire_grpc import render_tensor

SEEDS = Path(__file__).parent / "corpus" / "seeds"
INPUTS = {
    "half_plus_two": {"x": np.array([[1.5], [2.0]], np.float32)},
    "tiny_image": {"image": np.linspace(-1, 1, 192, dtype=np.float32).round(2).reshape(1, 8, 8, 3)},
    "two_by_two": {
        "a": np.array([[1, 2]], np.float32),
        "b": np.array([[0.5, -1]], np.float32),
        "n": np.array([3], np.int32),
    },
    "echo_bytes": {"payload": np.array([b"a", b"\xff\0"], object)},
}


def main() -> None:
    """Write them anew."""
    SEEDS.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(MODELS):
        for form, body in render_bodies(name).items():
            (SEEDS / f"rest-{name}-{form}").write_bytes(bytes([number << 1 | 1]) + body)
        for form, as_content in (("values", False), ("content", True)):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "m"
            for alias, array in INPUTS[name].items():
                assert array.dtype in BY_NUMPY  # noqa: S101
                render_tensor(array, request.inputs[alias], as_content=as_content)
            (SEEDS / f"grpc-{name}-{form}").write_bytes(bytes([number << 1]) + request.SerializeToString())


def render_bodies(name: str) -> dict[str, bytes]:
    """The REST bodies of one model."""
    inputs = {alias: _to_json(array) for alias, array in INPUTS[name].items()}
    first = next(iter(inputs.values()))
    rows = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=False)]
    documents = {
        "rows": {"instances": first if len(inputs) == 1 else rows},
        "named-rows": {"instances": rows, "signature_name": "serving_default"},
        "columns": {"inputs": first if len(inputs) == 1 else inputs},
        "named-columns": {"signature_name": "", "inputs": inputs},
    }
    bodies = {form: json.dumps(document).encode() for form, document in documents.items()}
    if name == "half_plus_two":
        bodies["odd"] = b' {"instances" : [[NaN],\n[Inf], [-Infinity], [1e-3], [16777216]]} x'
    return bodies


def _to_json(array: np.ndarray) -> list[object]:
    if not array.dtype.hasobject:
        listed: list[object] = array.astype(np.float64).tolist() if array.dtype.kind == "f" else array.tolist()
        return listed
    return ["text", {"b64": "/wA="}]


if __name__ == "__main__":
    main()
