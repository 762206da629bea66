"""Replays a version's recorded requests before anyone is served by it, so that no client waits for first-time work."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from model_server import versions
from model_server._protos import warmup_record_pb2
from model_server._protos.tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)
from model_server.errors import LoadError, ServingError
from model_server.inference import Inference, Run
from model_server.servable import Servable
from model_server.tfrecord import read_records

_LOGGER = logging.getLogger(__name__)

MOST_RECORDS = 1000
# Makes the runner of a servable, by what the metrics call the request.
MakeRunner = Callable[[Servable, str], Run]
# Told the folder, OK or the code of the error, how many records there were, and the seconds that they took.
ObserveWarmup = Callable[[str, str, int, float], None]


def warm_up(
    servable: Servable,
    folder: Path,
    inference: Inference,
    make_runner: MakeRunner,
    *,
    iterations: int = 1,
    observe: ObserveWarmup = lambda *_: None,
) -> None:
    """Send each record of the folder's warm-up file so many times; a folder without one is as warm as it gets.

    Raises:
        LoadError: The file is damaged, holds too many records or a request that the version refuses.
    """
    path = folder / versions.WARMUP_REQUESTS
    if not path.exists():
        return
    calls: dict[str, tuple[str, Any, Any]] = {
        "predict_log": ("Predict", predict_pb2.PredictRequest, inference.predict),
        "classify_log": ("Classify", classification_pb2.ClassificationRequest, inference.classify),
        "regress_log": ("Regress", regression_pb2.RegressionRequest, inference.regress),
        "multi_inference_log": ("MultiInference", inference_pb2.MultiInferenceRequest, inference.infer),
    }
    started, number = time.perf_counter(), 0
    try:
        for data in read_records(path):
            if number == MOST_RECORDS:
                raise LoadError(f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}.")
            kind, content = _parse_record(data, f"record {number} of {path}")
            api, message, call = calls[kind]
            request = message.FromString(content)
            for _ in range(max(iterations, 1)):
                call(servable, request, make_runner(servable, api))
            number += 1
    except (ServingError, DecodeError) as error:
        problem = f"The version refuses record {number} of {path}: {error}"
        status = error.grpc.name if isinstance(error, ServingError) else "INVALID_ARGUMENT"
        observe(str(folder), status, number, time.perf_counter() - started)
        raise LoadError(problem) from error
    seconds = time.perf_counter() - started
    observe(str(folder), "OK", number, seconds)
    _LOGGER.info("%s version %d: %d warm-up records in %.3f s", servable.name, servable.version, number, seconds)


def _parse_record(data: bytes, where: str) -> tuple[str, bytes]:
    try:
        record = warmup_record_pb2.WarmupRecord.FromString(data)
    except DecodeError as error:
        raise LoadError(f"Failed to parse warmup record: {where} is no PredictionLog.") from error
    kind = record.WhichOneof("log_type")
    if kind in {None, "session_run_log", "predict_streamed_log"}:
        raise LoadError(f"Unsupported log_type for warmup: {where} holds {kind or 'no request'}.")
    return kind, getattr(record, kind).request
