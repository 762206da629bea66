"""Both generators, the real JMeter among them, send on time while a server stalls, and their samples show the stall."""

import http.server
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from loopback import HOST, free_ports

from load import grpc_open_model, jmeter
from load.bodies import Pictures, read_lines, write_bodies
from load.child import run_measured
from load.generating import GeneratorError, Target
from load.jmeter import parse_rows, parse_status
from load.profiles import flat, plan_arrivals
from load.samples import read_samples

STALL_SECONDS = 2.0
PROFILE = flat(20, 5)
SEED = 5
TRIES = 3
# more than either generator sends for its warm-up, so that the stall comes while the profile runs
REQUESTS_BEFORE_STALL = 30


class Stall:
    """Lets requests pass at once, but for those within some seconds after the thirtieth, which wait for their end."""

    def __init__(self):
        self.lock = threading.Lock()
        self.begin()

    def begin(self):
        """As if nothing had come."""
        self.bodies = []
        self.began_unix = None

    def take(self, body):
        """Note the request and wait where it has to."""
        with self.lock:
            self.bodies.append(body)
            if len(self.bodies) == REQUESTS_BEFORE_STALL:
                self.began_unix = time.time()
            began = self.began_unix
        if began is not None:
            time.sleep(max(0.0, began + STALL_SECONDS - time.time()))


@pytest.fixture
def stall():
    return Stall()


@pytest.fixture
def rest_port(stall):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            stall.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.path == "/v1/models/vgg:predict" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Nothing on the test's output."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

    server = Server((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def grpc_port(stall):
    def predict(request, _):
        stall.take(request)
        return b""

    server = grpc.server(ThreadPoolExecutor(128))
    methods = {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods),)
    )
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture
def bodies(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), np.uint8)
    write_bodies(tmp_path / "bodies", Pictures(images, np.arange(64), "of a test"))
    return tmp_path / "bodies"


def due_in_stall(run, stall):
    """When the stall began and ended in the run's time, and which of the plan's requests were due well within it."""
    planned = plan_arrivals(PROFILE, SEED)
    begin = stall.began_unix - run.started_unix
    return begin, begin + STALL_SECONDS, (planned > begin) & (planned < begin + STALL_SECONDS - 0.5)


def send(run_plan, stall):
    """The run, again where this machine stood still with the server, so that nothing was sent during the stall.

    A generator that waits for answers before it sends has sent a single request into the stall, each time.
    """
    for _ in range(TRIES):
        stall.begin()
        run = run_plan()
        _, end, due = due_in_stall(run, stall)
        sent = read_samples(run.samples).sent_seconds[due]
        if np.sum(sent < end) > 5:
            return run
        print(f"of {due.sum()} requests that were due in the stall, which ended at {end:.2f} s, were sent: {sent}")
    raise AssertionError(f"{TRIES} times the generator did not send while the server stalled")


def assert_stall_is_in_the_samples(run, stall):
    samples = read_samples(run.samples)
    planned = plan_arrivals(PROFILE, SEED)
    assert samples.planned_seconds == pytest.approx(planned, abs=1e-6)
    assert set(samples.status[samples.ok]) <= {"200", "OK"}
    assert samples.ok.all(), sorted(set(samples.status))
    begin, end, due = due_in_stall(run, stall)
    assert 0 < begin < PROFILE.seconds - STALL_SECONDS / 2, begin
    assert due.sum() > 10
    waited = (
        samples.planned_seconds[due] + samples.elapsed_milliseconds[due] / 1000 + samples.late_milliseconds[due] / 1000
    )
    assert np.all(waited > end - 0.05), (end, waited.tolist())
    assert np.all(samples.late_milliseconds > -20), samples.late_milliseconds.min()


def test_jmeter_sends_the_plan_on_time_while_the_server_stalls(stall, rest_port, bodies, tmp_path):
    target = Target("vgg", HOST, rest_port, 0, bodies)
    run = send(lambda: jmeter.run_plan(target, PROFILE, SEED, tmp_path / "samples.csv.gz", tail_seconds=8), stall)
    assert_stall_is_in_the_samples(run, stall)
    assert set(stall.bodies) == set(read_lines(bodies))
    assert (run.generator, run.version.split(",")[0]) == ("jmeter", "JMeter 5.6.3")
    assert 1 < run.cpu_seconds < 2 * run.wall_seconds
    assert run.wall_seconds > jmeter.LEAD_SECONDS + PROFILE.seconds + 8


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_the_python_generator_sends_the_same_plan_likewise(protocol, stall, rest_port, grpc_port, bodies, tmp_path):
    target = Target("vgg", HOST, rest_port, grpc_port, bodies)
    out = tmp_path / "samples.csv.gz"
    enter = ["env", "-u", "NOTHING"]
    run = send(lambda: grpc_open_model.run_plan(target, PROFILE, SEED, out, enter, protocol=protocol), stall)
    assert_stall_is_in_the_samples(run, stall)
    expected = read_lines(bodies) if protocol == "rest" else grpc_open_model.read_requests(target)
    assert set(stall.bodies) == set(expected)
    assert (run.generator, run.samples) == ("python", out)
    assert 0 < run.cpu_seconds < run.wall_seconds


@pytest.mark.parametrize(("protocol", "status"), [("rest", "404"), ("grpc", "UNAVAILABLE")])
def test_answers_other_than_right_ones_are_failures_with_their_status(protocol, status, rest_port, bodies, tmp_path):
    target = Target("vgg", HOST, rest_port, free_ports(1)[0], bodies, "/other")
    run = grpc_open_model.run_plan(target, flat(20, 0.5), 1, tmp_path / "samples.csv.gz", protocol=protocol)
    samples = read_samples(run.samples)
    assert samples.status.tolist() == [status] * 10
    assert not samples.ok.any()


def test_a_connection_that_is_refused_is_a_failure(bodies, tmp_path):
    target = Target("vgg", HOST, free_ports(1)[0], 0, bodies)
    run = grpc_open_model.run_plan(target, flat(20, 0.5), 1, tmp_path / "samples.csv.gz", protocol="rest")
    assert set(read_samples(run.samples).status) == {"ClientConnectorError"}


def test_jmeters_rows_become_samples_and_an_arrival_without_one_was_not_sent():
    rows = [
        {"threadName": "warm-up 1-1", "sentMicroseconds": "1", "elapsedMicroseconds": "2", "responseCode": "200"},
        {
            "threadName": "arrivals 2-3",
            "sentMicroseconds": "1000002500000",
            "elapsedMicroseconds": "2345",
            "responseCode": "429",
            "success": "false",
        },
        {
            "threadName": "arrivals 2-1",
            "sentMicroseconds": "1000000250000",
            "elapsedMicroseconds": "1234",
            "responseCode": "200",
            "success": "true",
        },
    ]
    assert parse_rows(rows, 1_000_000, [0.25, 1.0, 2.0]) == [
        (0.25, pytest.approx(0.25), 1.234, "200", True),
        (1.0, 1.0, 0.0, "not sent", False),
        (2.0, pytest.approx(2.5), 2.345, "429", False),
    ]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("200", "200"),
        ("Non HTTP response code: java.net.SocketTimeoutException", "timeout"),
        ("Non HTTP response code: java.net.ConnectException", "ConnectException"),
    ],
)
def test_statuses_of_jmeter_are_named_as_those_of_the_other_generator(code, status):
    assert parse_status(code) == status


def test_the_cpu_time_of_a_child_is_its_own(tmp_path):
    busy = "import time\nbegun = time.process_time()\nwhile time.process_time() < begun + 0.3: pass"
    spent = run_measured([sys.executable, "-c", busy], tmp_path / "log", 60, os.environ)
    idle = run_measured(["sleep", "0.2"], tmp_path / "log", 60, os.environ)
    assert spent.cpu_seconds == pytest.approx(0.4, abs=0.2)
    assert idle.cpu_seconds < 0.1
    assert idle.wall_seconds >= 0.2


def test_the_cpu_time_of_a_part_of_a_childs_time_is_told(tmp_path):
    burn = "begun = time.process_time()\nwhile time.process_time() < begun + 0.6: pass\n"
    program = (
        f"import time\n{burn}print(time.time(), flush=True)\ntime.sleep(1)\nprint(time.time(), flush=True)\n{burn}"
    )
    spent = run_measured([sys.executable, "-c", program], tmp_path / "log", 60, os.environ)
    calm, busy = (float(line) for line in (tmp_path / "log").read_text().split())
    assert spent.cpu_between(0, calm) == pytest.approx(0.65, abs=0.15)
    assert spent.cpu_between(calm, busy) < 0.15
    assert spent.cpu_between(busy, busy + 60) == pytest.approx(0.6, abs=0.15)
    assert spent.cpu_between(0, busy + 60) == spent.cpu_seconds


@pytest.mark.parametrize(
    ("command", "limit", "message"),
    [
        (["sh", "-c", "echo broken; exit 3"], 60, r"log: the generator ended with status 3; it said last: broken"),
        (["sleep", "60"], 0.2, r"did not end within 0 s; it said nothing"),
        (["no-such-program"], 60, r"no-such-program cannot be started \(No such file or directory\)"),
    ],
    ids=["fails", "hangs", "is missing"],
)
def test_a_generator_that_fails_hangs_or_is_missing_is_an_error_with_its_last_words(tmp_path, command, limit, message):
    with pytest.raises(GeneratorError, match=message):
        run_measured(command, tmp_path / "log", limit, os.environ)
