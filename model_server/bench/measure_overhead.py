# ruff: noqa: INP001
"""What the server adds to the bare engine: p50 of one client at batch 1, all side by side in one run, and RSS.

Engine, gRPC and REST requests take turns, so that a drifting machine drifts for all. The client runs on the same
processor when the whole is pinned:

    taskset -c 1 .venv/bin/python model_server/bench/measure_overhead.py MODEL.tflite [--requests 2000]
"""

import argparse
import http.client
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np

from model_server._protos import health_pb2, health_pb2_grpc
from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from model_server.engine import DEFAULT_SIGNATURE
from model_server.engines.litert import LiteRtEngine

START_SECONDS = 30.0


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--pools", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as one, socket.socket() as two:
        (Path(scratch) / "1").mkdir()
        shutil.copyfile(arguments.model, Path(scratch) / "1/model.tflite")
        for listener in (one, two):
            listener.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
        one.close()
        two.close()
        command = [sys.executable, "-m", "model_server", f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
        flags = ["--model_name=m", f"--model_base_path={scratch}", "--bind_address=127.0.0.1"]
        process = subprocess.Popen([*command, *flags, f"--num_tflite_pools={arguments.pools}"])
        try:
            measure(arguments, process, *ports)
        finally:
            process.terminate()
            process.wait()


def measure(arguments: argparse.Namespace, process: subprocess.Popen[bytes], grpc_port: int, rest_port: int) -> None:
    """Take turns between the three ways to the same answer."""
    wait_for_port(rest_port)
    rss_idle_bytes = read_rss_bytes(process.pid)
    ways = plan_ways(arguments.model, grpc_port, rest_port)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for step in range(arguments.requests + 100):
        for name, ask in ways.items():
            started = time.perf_counter()
            ask()
            if step >= 100:
                seconds[name].append(time.perf_counter() - started)
    p50_milliseconds = {name: statistics.median(values) * 1e3 for name, values in seconds.items()}
    result = {
        "requests": arguments.requests,
        "pools": arguments.pools,
        "p50_milliseconds": p50_milliseconds,
        "overhead_milliseconds": {n: p50_milliseconds[n] - p50_milliseconds["engine"] for n in ("grpc", "rest")},
        "p95_milliseconds": {name: statistics.quantiles(values, n=20)[18] * 1e3 for name, values in seconds.items()},
        "rss_idle_bytes": rss_idle_bytes,
        "rss_after_bytes": read_rss_bytes(process.pid),
    }
    print(json.dumps(result))


def plan_ways(model: Path, grpc_port: int, rest_port: int) -> dict[str, Callable[[], object]]:
    """The bare engine, gRPC with tensor_content and REST with a JSON list, for one and the same input."""
    engine = LiteRtEngine(model, workers=1, threads=1)
    ((name, tensor),) = engine.signatures[DEFAULT_SIGNATURE].inputs.items()
    image = np.random.default_rng(0).random([1, *tensor.shape[1:]]).astype(tensor.dtype)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs[name].dtype = types_pb2.DT_FLOAT
    request.inputs[name].tensor_content = image.tobytes()
    for size in image.shape:
        request.inputs[name].tensor_shape.dim.add().size = size
    channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
    stub, health = prediction_service_pb2_grpc.PredictionServiceStub(channel), health_pb2_grpc.HealthStub(channel)
    connection = http.client.HTTPConnection("127.0.0.1", rest_port)
    body = json.dumps({"instances": np.round(image.astype(np.float64), 4).tolist()})

    def ask_rest() -> bytes:
        connection.request("POST", "/v1/models/m:predict", body)
        return connection.getresponse().read()

    def ask_rest_health() -> bytes:
        connection.request("GET", "/healthz")
        return connection.getresponse().read()

    return {
        "engine": lambda: engine.run(DEFAULT_SIGNATURE, {name: image}),
        "grpc": lambda: stub.Predict(request),
        "rest": ask_rest,
        # What the wires cost without a prediction, client included.
        "grpc_health": lambda: health.Check(health_pb2.HealthCheckRequest()),
        "rest_health": ask_rest_health,
    }


def wait_for_port(port: int) -> None:
    """Return when somebody listens there."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def read_rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


if __name__ == "__main__":
    main()
