"""`python -m load.generator_cost`: the CPU time that each generator takes, with a server that answers at once.

Each generator runs 33.3 requests a second for 3 s and for 40 s; the difference is what a request costs. CPU time needs
no quiet machine; the numbers of docs/load.md are from here.
"""

import http.server
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
from loopback import HOST
from typing_extensions import override

from load import grpc_open_model, jmeter
from load.bodies import CIFAR10_SHAPE, prepare_bodies
from load.generating import GeneratorRun, Target
from load.profiles import Profile, flat
from load.samples import read_samples, summarise

REQUESTS_PER_SECOND = 100 / 3
SHORT_SECONDS, LONG_SECONDS = 3, 40
GENERATORS = ("JMeter, REST", "Python, REST", "Python, gRPC")
ANSWER = b'{"predictions": [[1.0]]}'


class _Answering(http.server.BaseHTTPRequestHandler):
    """Answers every POST at once."""

    def do_POST(self) -> None:
        """Read the request and answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    @override
    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


class _Server(http.server.ThreadingHTTPServer):
    """Keeps more connections waiting than Python's five, which refuses a burst."""

    request_queue_size = 128


@contextmanager
def serve(bodies: Path) -> Iterator[Target]:
    """A REST and a gRPC server on the loopback that answer at once."""
    rest = _Server((HOST, 0), _Answering)
    thread = threading.Thread(target=rest.serve_forever)
    thread.start()
    by_grpc = grpc.server(ThreadPoolExecutor(32))
    methods = {"Predict": grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")}
    service = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods)
    by_grpc.add_generic_rpc_handlers((service,))
    port = by_grpc.add_insecure_port(f"{HOST}:0")
    by_grpc.start()
    try:
        yield Target("model", HOST, rest.server_port, port, bodies)
    finally:
        by_grpc.stop(None).wait()
        rest.shutdown()
        thread.join()
        rest.server_close()


def run_one(name: str, target: Target, profile: Profile, out: Path) -> GeneratorRun:
    """One run of the generator of that name."""
    if name == "JMeter, REST":
        return jmeter.run_plan(target, profile, 1, out)
    return grpc_open_model.run_plan(target, profile, 1, out, protocol="rest" if name == "Python, REST" else "grpc")


def main() -> int:
    """Print a line a generator."""
    with tempfile.TemporaryDirectory() as name, serve(Path(name) / "bodies") as target:
        print(
            f"{prepare_bodies(target.bodies, CIFAR10_SHAPE, allow_noise=True)}; {jmeter.read_version()};"
            f" {grpc_open_model.read_version()}"
        )
        for generator in sys.argv[1:] or GENERATORS:
            spent, sent, failed = [], [], 0
            for seconds in (SHORT_SECONDS, LONG_SECONDS):
                run = run_one(generator, target, flat(REQUESTS_PER_SECOND, seconds), Path(name) / "samples.csv.gz")
                summary = summarise(read_samples(run.samples), seconds)
                spent.append(run.cpu_seconds)
                sent.append(summary.requests)
                failed += sum(summary.failures.values())
            each = (spent[1] - spent[0]) / (sent[1] - sent[0])
            start = spent[0] - each * sent[0]
            cost = f"{1000 * each:.1f} ms a request, {start:.1f} s for its start"
            print(f"{generator}: {cost}; {failed} of {sum(sent)} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
