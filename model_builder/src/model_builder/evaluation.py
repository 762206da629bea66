"""Answers of a .tflite."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from model_builder.loading import quiet_stderr

_LARGEST_BATCH = 100
_PIXELS_AT_ONCE = 1 << 20
"""So that the activations of a batch of large images fit into memory."""


class Predictor:
    """A .tflite with one input and one output, run batch by batch on all cores of this process."""

    def __init__(self, model: Path | bytes, threads: int = 2) -> None:
        """Load the model: a file, which is mapped and not copied, or its bytes."""
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        self._interpreter = Interpreter(**source, num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answers for uint8 images of shape (n, height, width, channels); the first axis of the answers is n."""
        at_once = max(1, min(_LARGEST_BATCH, _PIXELS_AT_ONCE // (images.shape[1] * images.shape[2])))
        answers = [self._run(images[start : start + at_once]) for start in range(0, len(images), at_once)]
        return np.concatenate(answers)

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._interpreter.resize_tensor_input(self._input, images.shape)
        with quiet_stderr():
            self._interpreter.allocate_tensors()  # LiteRT says here that it has kernels for CPUs
        self._interpreter.set_tensor(self._input, images.astype(np.float32))
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self._output), np.float32)
