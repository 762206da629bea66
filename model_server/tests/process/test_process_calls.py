"""Calls that are not as they should be, and many of them, over the server's own way to take them."""

import json
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from model_server._protos import health_pb2
from model_server._protos.tensorflow_serving.apis import get_model_status_pb2, predict_pb2, prediction_service_pb2_grpc

PREDICT = "/tensorflow.serving.PredictionService/Predict"
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
# The head of a frame: its length of 8 bytes, its type, no flags (it is not the answer to one), and stream 0.
PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0])


def make_request(value=2.0):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=1)
    tensor.tensor_shape.dim.add(size=1)
    tensor.float_val.append(value)
    return request


def status_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


@pytest.fixture(params=["--num_tflite_pools=1", "--num_tflite_pools=2"])
def server(request, start_server, add_version):
    """A server that runs predictions where they arrive, and one that runs them on other threads."""
    add_version("half_plus_two", 1)
    return start_server(request.param, "--grpc_max_threads=8")


def test_bytes_that_are_no_message_and_calls_without_one_are_refused(server):
    raw = server.channel.unary_unary(PREDICT)
    assert status_of(lambda: raw(b"\xff\xff\xff", timeout=10)) == (
        grpc.StatusCode.INTERNAL,
        "Exception deserializing request!",
    )
    empty = server.channel.stream_unary(PREDICT)
    assert status_of(lambda: empty(iter(()), timeout=10)) == (
        grpc.StatusCode.UNIMPLEMENTED,
        f'"{PREDICT}" requires exactly one request message.',
    )
    unknown = server.channel.unary_unary("/tensorflow.serving.PredictionService/Guess")
    assert status_of(lambda: unknown(b"", timeout=10)) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    assert status_of(lambda: list(server.health.Watch(health_pb2.HealthCheckRequest(), timeout=10))) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "Method not found!",
    )
    assert server.prediction.Predict(make_request(), timeout=10).outputs["y"].float_val == [3.0]


def test_calls_that_are_given_up_leave_no_place_taken(server, wait_until):
    for _ in range(40):
        server.prediction.Predict.future(make_request(), timeout=10).cancel()
    for _ in range(40):
        with suppress(grpc.RpcError):
            server.prediction.Predict(make_request(), timeout=1e-6)

    def answers():
        calls = [server.prediction.Predict.future(make_request(number), timeout=10) for number in range(8)]
        return [call.result().outputs["y"].float_val[0] for call in calls if call.code() is grpc.StatusCode.OK]

    wait_until(lambda: answers() == [2 + number / 2 for number in range(8)])


def test_every_answer_is_that_of_its_request_under_many_clients(server):
    wrong, refused = [], []

    def ask(first):
        for number in range(first, first + 150):
            try:
                answer = server.prediction.Predict(make_request(number), timeout=20)
            except grpc.RpcError as error:
                refused.append(error.code())
                continue
            if answer.outputs["y"].float_val != [2 + number / 2]:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(1000 * number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "m"
    checks = 0
    while any(thread.is_alive() for thread in threads):
        assert server.health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == 1
        assert server.model.GetModelStatus(status, timeout=20).model_version_status[0].state == 30
        checks += 1
    assert wrong == []
    # Twelve clients where eight may ask: some are told so, and nothing else happens to them.
    assert set(refused) <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(refused) < 12 * 150 / 2
    assert checks > 0


def test_sigterm_while_clients_ask_answers_what_was_taken_and_exits_0(server):
    answers, ended = [], []

    def ask():
        while True:
            try:
                answers.append(server.prediction.Predict(make_request(), timeout=20).outputs["y"].float_val[0])
            except grpc.RpcError as error:
                ended.append(error.code())
                return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(answers) < 200:
        assert time.monotonic() < deadline, f"{len(answers)} answers in 20 s"
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    for thread in threads:
        thread.join(20)
    assert set(answers) == {3.0}
    # gRPC's core cancels what it has not handed over yet when it is told to stop.
    assert set(ended) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert "Traceback" not in server.log()


def test_large_requests_leave_no_memory_behind(server, wait_until):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_content = bytes(4_000_000)
    for size in (1_000_000, 1):
        request.inputs["x"].tensor_shape.dim.add(size=size)
    status = Path(f"/proc/{server.process.pid}/status")

    def read_mebibytes():
        return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024

    def ask(times):
        with grpc.insecure_channel(
            f"127.0.0.1:{server.grpc_port}", [("grpc.max_receive_message_length", -1)]
        ) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for _ in range(times):
                assert len(stub.Predict(request, timeout=60).outputs["y"].float_val) == 1_000_000
                yield read_mebibytes()

    # An answer's buffers, up to 20 mebibytes, may be there for a moment after its client has it.
    first = min(ask(4))
    assert len(list(ask(12))) == 12
    # Each of them once kept a mebibyte, until 256 of them had been there.
    wait_until(lambda: read_mebibytes() < first + 6, timeout_seconds=10)


def test_what_waits_for_its_turn_is_in_the_metrics(start_server, add_version, tmp_path):
    (tmp_path / "monitoring").write_text("prometheus_config { enable: true }")
    add_version("half_plus_two", 1)
    server = start_server("--num_tflite_pools=2", f"--monitoring_config_file={tmp_path / 'monitoring'}")
    for _ in range(3):
        server.prediction.Predict(make_request(), timeout=10)
    page = server.http("/monitoring/prometheus/metrics")[1]
    assert 'modelpress_thread_wait_seconds_count{entrypoint="GRPC"} 3' in page
    assert (
        'modelpress_predict_duration_seconds_count{model_name="m",version="1",API="Predict",entrypoint="GRPC"} 3'
        in page
    )


def test_the_access_log_names_model_and_sizes_of_known_forms(start_server, add_version):
    add_version("half_plus_two", 1)
    server = start_server("--num_tflite_pools=1", "--access_log=true")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_content = bytes(64)
    for size in (16, 1):
        request.inputs["x"].tensor_shape.dim.add(size=size)
    answers = [server.prediction.Predict(request, timeout=10) for _ in range(3)]
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{") and "GRPC" in line]
    assert [(line["method"], line["path"], line["status"], line["requestBytes"]) for line in lines] == [
        ("Predict", "m", "OK", request.ByteSize())
    ] * 3
    assert [line["responseBytes"] for line in lines] == [answer.ByteSize() for answer in answers]
    assert answers[0] == answers[2]


def test_who_answers_no_pings_is_let_go_and_who_does_is_not(start_server, add_version):
    """What `--grpc_channel_arguments` says of keepalive holds on the wire."""
    add_version("half_plus_two", 1)
    arguments = "grpc.keepalive_time_ms=1000,grpc.keepalive_permit_without_calls=1,grpc.http2.ping_timeout_ms=500"
    server = start_server(f"--grpc_channel_arguments={arguments}")
    states = []
    server.channel.subscribe(states.append)
    assert server.prediction.Predict(make_request(), timeout=10).outputs["y"].float_val == [3.0]
    received = bytearray()
    with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=20) as mute:
        mute.sendall(HTTP2_PREFACE + EMPTY_SETTINGS)
        while part := mute.recv(65536):
            received += part
    assert PING in received
    assert server.prediction.Predict(make_request(), timeout=10).outputs["y"].float_val == [3.0]
    assert states[-1] is grpc.ChannelConnectivity.READY
    assert states.count(grpc.ChannelConnectivity.READY) == 1
