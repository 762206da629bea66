"""The runtimes: LiteRT everywhere, OpenVINO where `modelpress-server[openvino]` is installed."""

from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from model_server.engine import Engine
from model_server.engines.litert import LiteRtEngine
from model_server.errors import StartupError

EngineKind = Literal["litert", "openvino"]


def parse_engine_kind(text: str) -> EngineKind:
    """The engine of this name.

    Raises:
        StartupError: There is none.
    """
    if text not in get_args(EngineKind):
        raise StartupError(f"--engine={text} is not known: give {' or '.join(get_args(EngineKind))}.")
    return cast("EngineKind", text)


def load_engine(
    kind: EngineKind, model_file: Path, *, workers: int, threads: int, examples: NDArray[np.generic] | None = None
) -> Engine:
    """Map the file and prepare it to answer; `examples` are inputs from which OpenVINO learns ranges.

    Raises:
        LoadError: The runtime cannot read the file or run its graph.
        StartupError: The runtime is not installed.
    """
    if kind == "litert":
        return LiteRtEngine(model_file, workers=workers, threads=threads)
    try:
        from model_server.engines.openvino import OpenVinoEngine
    except ImportError as error:
        raise StartupError(
            "--engine=openvino needs OpenVINO, which is not here: install modelpress-server[openvino]."
        ) from error
    return OpenVinoEngine(model_file, workers=workers, threads=threads, examples=examples)
