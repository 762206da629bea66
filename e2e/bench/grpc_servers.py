"""What a gRPC call costs that does nothing: by grpcio's own servers, and by ours.

usage: PYTHONPATH=e2e python -m bench.grpc_servers [--rounds 8] [--requests 200]

Each server has a process of its own and answers a Predict call with prepared bytes; the client is prepared bytes on a
socket. They take turns, so that a machine that is shared is so for all of them; processor time is of the server's
process, all threads.
"""

import argparse
import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

# Sets what gRPC's core is told before it is loaded: for our server alone.
if sys.argv[1:3] == ["serve", "ours"]:
    import model_server  # noqa: F401
import grpc
import numpy as np
from bench.server_clients import GrpcClient
from bench.server_subjects import HOST, START_SECONDS, read_cpu_seconds
from loopback import free_ports

SERVICE, METHOD = "tensorflow.serving.PredictionService", "Predict"
THREADS = 4


def serve_ours(address: str, answer: bytes) -> None:
    """`model_server.grpc_calls`, which answers on the thread that takes the call."""
    from model_server.grpc_calls import CallServer
    from model_server.turns import Turns

    take = {f"/{SERVICE}/{METHOD}": lambda call: call.answer(answer)}
    server = CallServer(take, Turns(lambda: False, enabled=True), [("grpc.so_reuseport", 0)])
    server.listen(address, None)
    server.start()
    threading.Event().wait()


def serve_threads(address: str, answer: bytes) -> None:
    """`grpc.server`."""
    server = grpc.server(ThreadPoolExecutor(THREADS))
    handler = grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def serve_asyncio(address: str, answer: bytes) -> None:
    """`grpc.aio.server`."""

    async def answer_one(_request: bytes, _context: Any) -> bytes:
        return answer

    async def serve() -> None:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(answer_one)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        server.add_insecure_port(address)
        await server.start()
        await server.wait_for_termination()

    asyncio.run(serve())


SERVERS: dict[str, Callable[[str, bytes], None]] = {
    "grpc.server": serve_threads,
    "grpc.aio": serve_asyncio,
    "ours": serve_ours,
}


class Asked:
    """One server's process, and what its calls took."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.milliseconds: list[float] = []
        self.cpu_milliseconds: list[float] = []
        (port,) = free_ports(1)
        self._process = subprocess.Popen([sys.executable, "-m", "bench.grpc_servers", "serve", kind, str(port)])
        self._client = self._connect(port)

    def _connect(self, port: int) -> GrpcClient:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client = GrpcClient(HOST, port, "m", "x", np.zeros((1, 32, 32, 3), np.float32))
                client.ask()
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return client

    def run_block(self, requests: int) -> None:
        """Ask so often and note the times."""
        begun = read_cpu_seconds(self._process.pid)
        for _ in range(requests):
            asked = time.perf_counter()
            self._client.ask()
            self.milliseconds.append(1e3 * (time.perf_counter() - asked))
        self.cpu_milliseconds.append(1e3 * (read_cpu_seconds(self._process.pid) - begun) / requests)

    def close(self) -> None:
        """End it."""
        self._client.close()
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["serve"]:
        from model_server._protos.tensorflow_serving.apis import predict_pb2

        response = predict_pb2.PredictResponse()
        response.outputs["y"].float_val.extend([0.1] * 10)
        SERVERS[sys.argv[2]](f"{HOST}:{sys.argv[3]}", response.SerializeToString())
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--requests", type=int, default=200, help="to each server in each round")
    options = parser.parse_args()
    with closing(Asked("grpc.server")) as first, closing(Asked("grpc.aio")) as second, closing(Asked("ours")) as third:
        for number in range(options.rounds + 1):
            for each in (first, second, third):
                each.run_block(options.requests)
                if not number:
                    each.milliseconds.clear()
                    each.cpu_milliseconds.clear()
        for each in (first, second, third):
            cpu, p50 = np.mean(each.cpu_milliseconds), np.median(each.milliseconds)
            print(f"{each.kind:<12} CPU {cpu:.3f} ms a call, p50 {p50:.3f} ms, n = {len(each.milliseconds)}")


if __name__ == "__main__":
    main()
