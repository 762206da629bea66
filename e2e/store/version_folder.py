"""Version folders for a store's tests: a .tflite with one tensor, beside files that no coder makes smaller."""

import secrets
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

ASSET_BYTES = 5_000_000


def write_version_folder(folder: Path, assets: int) -> Path:
    """Make the folder with that many assets of 5 MB; returns it."""
    (folder / "assets").mkdir(parents=True)
    codes = np.random.default_rng(3).normal(0, 9, (200, 300)).round().clip(-127, 127).astype(np.int8)
    (folder / "model.tflite").write_bytes(render_model(codes))
    for number in range(assets):
        (folder / "assets" / str(number)).write_bytes(secrets.token_bytes(ASSET_BYTES))
    return folder


def render_model(codes: Any) -> bytes:
    """A .tflite that holds the int8 array as its one constant tensor, named `kernel`, with the scale 0.5."""
    builder = flatbuffers.Builder(1024)
    data = builder.CreateNumpyVector(codes.reshape(-1).view(np.uint8))
    buffers = []
    for content in (None, data):
        tflite.BufferStart(builder)
        if content is not None:
            tflite.BufferAddData(builder, content)
        buffers.append(tflite.BufferEnd(builder))
    name, scale = builder.CreateString("kernel"), builder.CreateNumpyVector(np.array([0.5], np.float32))
    shape = builder.CreateNumpyVector(np.array(codes.shape, np.int32))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scale)
    quantization = tflite.QuantizationParametersEnd(builder)
    tflite.TensorStart(builder)
    for add, value in (
        (tflite.TensorAddShape, shape),
        (tflite.TensorAddType, tflite.TensorType.INT8),
        (tflite.TensorAddBuffer, 1),
        (tflite.TensorAddName, name),
        (tflite.TensorAddQuantization, quantization),
    ):
        add(builder, value)
    tensors = _render_vector(builder, tflite.SubGraphStartTensorsVector, [tflite.TensorEnd(builder)])
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensors)
    subgraphs = _render_vector(builder, tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
    vector = _render_vector(builder, tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddBuffers(builder, vector)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _render_vector(builder: Any, start: Any, items: list[int]) -> int:
    start(builder, len(items))
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())
