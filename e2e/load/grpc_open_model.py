"""`python -m load.grpc_open_model PLAN.json`: sends a profile by gRPC or REST; requests leave on time, come what may.

PLAN.json holds the target, the profile, the seed, the protocol and the file of the samples; `run_plan` writes it and
runs this module in a process of its own. The number of requests that wait for an answer has no limit but the timeout:
an open model sends whether or not others were answered.
"""

import argparse
import asyncio
import dataclasses
import gc
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import numpy as np

from load.bodies import read_images, read_lines
from load.child import describe_run, run_measured
from load.generating import GeneratorRun, Protocol, Target
from load.profiles import Profile, parse_profile, plan_arrivals
from load.samples import make_samples, write_samples
from model_server._protos.tensorflow.core.framework import tensor_pb2, types_pb2
from model_server._protos.tensorflow_serving.apis import predict_pb2

Ask = Callable[[int], Awaitable[str]]
"""Sends the request of that number and gives the status of its answer."""

TIMEOUT_SECONDS = 10.0
CHANNELS = 8
WARM_UP_REQUESTS = 5
OK = frozenset(("200", "OK"))

_METHOD = "/tensorflow.serving.PredictionService/Predict"
_SECONDS_TO_START = 120.0
# asyncio's timers wake up to a millisecond late: the last of the wait is spent looking at the clock
_EARLY_SECONDS = 0.0012


def run_plan(
    target: Target, profile: Profile, seed: int, out: Path, enter: Sequence[str] = (), *, protocol: Protocol = "grpc"
) -> GeneratorRun:
    """Send the profile's requests from a process of its own and write their samples.

    Args:
        target: what is asked.
        profile: when.
        seed: the same seed sends at the same times.
        out: file of the samples.
        enter: the command prefix that runs a program where the target is reached.
        protocol: gRPC, or REST with a connection of its own for each request, as the plans for JMeter do.

    Raises:
        GeneratorError: when the process cannot be run or fails.
    """
    plan = {
        "target": dataclasses.asdict(target) | {"bodies": str(target.bodies.resolve())},
        "profile": dataclasses.asdict(profile),
        "seed": seed,
        "protocol": protocol,
        "out": str(out.resolve()),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modelpress-load-") as name:
        file, log = Path(name) / "plan.json", Path(name) / "out.log"
        file.write_text(json.dumps(plan))
        command = [*enter, sys.executable, "-m", "load.grpc_open_model", str(file)]
        limit = profile.seconds + TIMEOUT_SECONDS + _SECONDS_TO_START
        spent = run_measured(command, log, limit, os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
        said = json.loads(log.read_text().splitlines()[-1])
    started = said["startedUnix"]
    return describe_run(spent, out, started, profile.seconds, ("python", read_version()))


def read_version() -> str:
    """Python's and the client libraries'."""
    return f"Python {platform.python_version()}, grpcio {version('grpcio')}, aiohttp {version('aiohttp')}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a plan from a file; the last line tells when it began."""
    parser = argparse.ArgumentParser(prog="load.grpc_open_model", description="Open-model load by gRPC or REST.")
    parser.add_argument("plan", type=Path)
    plan: dict[str, Any] = json.loads(parser.parse_args(arguments).plan.read_text())
    target = Target(**plan["target"] | {"bodies": Path(plan["target"]["bodies"])})
    started, rows = asyncio.run(send(target, parse_profile(plan["profile"]), plan["seed"], plan["protocol"]))
    write_samples(make_samples(rows), Path(plan["out"]))
    print(json.dumps({"startedUnix": started, "requests": len(rows)}), flush=True)
    return 0


Row = tuple[float, float, float, str, bool]


async def send(target: Target, profile: Profile, seed: int, protocol: Protocol) -> tuple[float, list[Row]]:
    """Send every request at its time; when the profile began, in Unix time, and the samples' rows."""
    planned = plan_arrivals(profile, seed).tolist()
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        ask = await (_rest_asker if protocol == "rest" else _grpc_asker)(target, stack)
        for number in range(WARM_UP_REQUESTS):
            await ask(number)
        gc.collect()
        gc.freeze()
        started, begun = time.time(), time.perf_counter()

        async def sample(number: int, due: float) -> None:
            sent = time.perf_counter()
            status = await ask(number)
            elapsed = time.perf_counter() - sent
            rows.append((due, sent - begun, 1000 * elapsed, status, status in OK))

        async with asyncio.TaskGroup() as tasks:
            for number, due in enumerate(planned):
                await _wait_until(begun + due)
                tasks.create_task(sample(number, due))
    return started, rows


async def _wait_until(moment: float) -> None:
    """Until the clock shows the moment, to a fraction of a millisecond."""
    while (left := moment - time.perf_counter()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(max(0.0, left - _EARLY_SECONDS))  # the clock is no event


async def _rest_asker(target: Target, stack: AsyncExitStack) -> Ask:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    headers = {"Content-Type": "application/json"}
    session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)
    await stack.enter_async_context(session)
    url = f"http://{target.host}:{target.rest_port}{target.rest_path}"
    bodies = read_lines(target.bodies)

    async def ask(number: int) -> str:
        try:
            async with session.post(url, data=bodies[number % len(bodies)]) as response:
                await response.read()
                return str(response.status)
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientError as error:
            return type(error).__name__

    return ask


async def _grpc_asker(target: Target, stack: AsyncExitStack) -> Ask:
    """Calls over several long-lived channels in turn, each with a connection of its own, as services hold them."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    calls = []
    for _ in range(CHANNELS):
        channel = grpc.aio.insecure_channel(f"{target.host}:{target.grpc_port}", options=options)
        await stack.enter_async_context(channel)
        calls.append(channel.unary_unary(_METHOD, bytes, bytes))
    requests = read_requests(target)
    turn = itertools.cycle(calls)

    async def ask(number: int) -> str:
        try:
            await next(turn)(requests[number % len(requests)], timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            code = error.code()
            return "timeout" if code is grpc.StatusCode.DEADLINE_EXCEEDED else str(code.name)
        return "OK"

    return ask


def read_requests(target: Target) -> list[bytes]:
    """The images as serialised PredictRequests, raw float32."""
    found = []
    for image in read_images(target.bodies):
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=image.astype(np.float32).tobytes())
        for size in (1, *image.shape):
            tensor.tensor_shape.dim.add(size=size)
        request = predict_pb2.PredictRequest(inputs={"image": tensor})
        request.model_spec.name = target.name
        found.append(request.SerializeToString())
    return found


if __name__ == "__main__":
    sys.exit(main())
