"""Clients that are slow, rude or many, on raw sockets."""

import fcntl
import http.client
import json
import os
import signal
import socket
import time

import grpc
import numpy as np
import pytest

BODY = b'{"instances": [2]}'
ANSWER = b'"predictions": [3.0]\n}'
CHUNKED = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def connect(server):
    return socket.create_connection(("127.0.0.1", server.rest_port), timeout=20)


def head(body=BODY, *more):
    lines = ["POST /v1/models/m:predict HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def read_until(connection, mark):
    received = b""
    while mark not in received:
        chunk = connection.recv(65536)
        assert chunk, f"closed after {received!r}"
        received += chunk
    return received


def read_all(connection):
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


@pytest.fixture
def server(start_server, add_version):
    add_version("half_plus_two", 1)
    return start_server()


def test_requests_that_are_sent_at_once_are_answered_in_order(server):
    with connect(server) as connection:
        bodies = [json.dumps({"instances": [number]}).encode() for number in range(20)]
        connection.sendall(b"".join(head(body) + body for body in bodies) + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        received = read_until(connection, b"ok\n")
    values = [part.split(b"]")[0] for part in received.split(b'"predictions": [')[1:]]
    assert [float(value) for value in values] == [number / 2 + 2 for number in range(20)]


def test_thousands_that_wait_on_one_connection_are_all_answered(server):
    body = json.dumps({"instances": np.ones((1000, 50)).tolist()}).encode()
    with connect(server) as connection:
        connection.sendall(head(body) + body + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
        received = b""
        while received.count(b"ok\n") < 3000:
            received += read_until(connection, b"ok\n")
    assert received.count(b"HTTP/1.1 200") == 3001


@pytest.mark.parametrize("flag", ["--num_tflite_pools=1", "--num_tflite_pools=2"])
def test_answers_are_the_same_where_they_are_run_where_they_arrive(start_server, add_version, flag):
    add_version("half_plus_two", 1)
    server = start_server(flag)
    with connect(server) as connection:
        for number in range(50):
            body = json.dumps({"instances": [[number]]}).encode()
            connection.sendall(head(body) + body)
            assert f'"predictions": [[{number / 2 + 2}]]'.encode() in read_until(connection, b"]]\n}")


def test_a_body_that_comes_byte_by_byte_or_in_chunks_is_answered(server):
    with connect(server) as connection:
        for byte in head() + BODY:
            connection.sendall(bytes([byte]))
        assert ANSWER in read_until(connection, ANSWER)
        connection.sendall(CHUNKED + b"5\r\n" + BODY[:5] + b"\r\nd\r\n" + BODY[5:] + b"\r\n0\r\n\r\n")
        assert ANSWER in read_until(connection, ANSWER)


def test_trailers_change_nothing(server):
    trailers = b"Content-Encoding: gzip\r\nX: y\r\n\r\n"
    with connect(server) as connection:
        for _ in range(2):
            connection.sendall(CHUNKED + b"12\r\n" + BODY + b"\r\n0\r\n" + trailers)
            assert ANSWER in read_until(connection, b"}")


def test_curl_is_told_to_go_on_before_it_sends_a_large_body(server):
    with connect(server) as connection:
        connection.sendall(head(BODY, "Expect: 100-continue"))
        assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert ANSWER in read_until(connection, ANSWER)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GET /healthz HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 5000000000\r\n\r\n", b"429"),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 300_000, b"431"),
        (CHUNKED + b"0\r\nX: " + b"a" * 1_000_000, b"431"),
        (CHUNKED + b"1;x=" + b"a" * 1_000_000, b"431"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"200"),
    ],
)
def test_what_cannot_go_on_is_answered_and_closed(server, sent, status):
    with connect(server) as connection:
        connection.sendall(sent)
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in received.split(b"\r\n\r\n")[0]


def test_head_has_no_body(server):
    with connect(server) as connection:
        connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n")


def test_a_client_that_has_sent_everything_and_closed_its_side_is_answered(server):
    with connect(server) as connection:
        connection.sendall(head() + BODY)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).endswith(ANSWER)


def test_idle_and_half_sent_connections_do_not_stand_in_the_way(server):
    waiting = [connect(server) for _ in range(200)]
    try:
        for connection in waiting[:100]:
            connection.sendall(head()[:40])
        begun = time.monotonic()
        assert server.predict({"instances": [2]}) == (200, {"predictions": [3.0]})
        assert time.monotonic() - begun < 5
        waiting[0].sendall(head()[40:] + BODY)
        assert ANSWER in read_until(waiting[0], ANSWER)
    finally:
        for connection in waiting:
            connection.close()


def test_a_client_that_vanishes_costs_no_answer_to_others(server, wait_until):
    body = json.dumps({"instances": np.ones((200, 50)).tolist()}).encode()
    for _ in range(50):
        with connect(server) as connection:
            connection.sendall(head(body) + body)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(lambda: server.predict({"instances": [2]}) == (200, {"predictions": [3.0]}))
    assert "Traceback" not in server.log()


def ask_together(server, count, rows):
    """The statuses of so many requests that are sent at once; health is answered meanwhile."""
    body = json.dumps({"instances": np.ones((rows, 1)).tolist()}).encode()
    statuses = []
    connections = [connect(server) for _ in range(count)]
    for connection in connections:
        connection.sendall(head(body) + body)
    assert server.http("/healthz")[0] == 200
    for connection in connections:
        with connection:
            statuses.append(int(read_until(connection, b"\r\n\r\n").split()[1]))
    return statuses


@pytest.mark.parametrize(("pools", "rows"), [(1, 8_000), (2, 20_000)])
def test_more_than_would_be_answered_in_time_is_refused_and_health_still_answers(
    start_server, add_version, wait_until, pools, rows
):
    add_version("half_plus_two", 1)
    flags = ("--rest_api_num_threads=1", f"--num_tflite_pools={pools}", "--rest_api_longest_wait_in_ms=10")
    server = start_server(*flags)
    wait_until(lambda: set(ask_together(server, 40, rows)) == {200, 429})
    assert server.predict({"instances": [2]}) == (200, {"predictions": [3.0]})


@pytest.mark.parametrize("pools", [1, 2])
def test_a_crowd_that_is_answered_soon_is_not_refused(start_server, add_version, pools):
    add_version("half_plus_two", 1)
    flags = ("--rest_api_num_threads=1", f"--num_tflite_pools={pools}", "--rest_api_longest_wait_in_ms=60000")
    server = start_server(*flags)
    assert server.predict({"instances": [2]}) == (200, {"predictions": [3.0]})
    assert ask_together(server, 80, 2_000) == [200] * 80


def test_the_access_log_has_a_line_of_json_for_each_request(start_server, add_version, wait_until):
    add_version("half_plus_two", 1)
    server = start_server("--access_log")
    server.predict({"instances": [2]})
    server.predict({"instances": ["no"]})
    with pytest.raises(grpc.RpcError):
        server.prediction.GetModelMetadata(_metadata_request("nobody"), timeout=10)

    def lines():
        found = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
        return [line for line in found if line["path"] not in {"/readyz", "/healthz"}]

    wait_until(lambda: len(lines()) == 3)
    # A line is written once its answer is sent, and each wire has threads of its own: any order may come.
    found = {line["status"]: line for line in lines()}
    assert found.keys() == {"200", "400", "NOT_FOUND"}
    answered, unknown = found["200"], found["NOT_FOUND"]
    assert answered["milliseconds"] > 0
    assert abs(answered["time"] - time.time()) < 60
    assert [answered[key] for key in ("wire", "method", "path", "requestBytes")] == [
        *("REST", "POST", "/v1/models/m:predict", 18),
    ]
    assert [unknown[key] for key in ("wire", "method", "path", "responseBytes")] == [
        *("GRPC", "GetModelMetadata", "nobody", 0),
    ]


@pytest.mark.parametrize("reads", [True, False])
def test_an_access_log_that_nobody_reads_delays_neither_answers_nor_the_end(start_server, add_version, reads):
    """The pipe is closed at its other end, or full."""
    add_version("half_plus_two", 1)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    server = start_server("--access_log", stdout=writer)
    os.close(writer)
    if reads:
        os.close(reader)
    for _ in range(60):
        assert server.predict({"instances": [2]}) == (200, {"predictions": [3.0]})
    server.process.send_signal(signal.SIGTERM)
    # Within the ten seconds that requests have, and what a stalled reader is given.
    assert server.wait_exit(15.0) == 0
    if not reads:
        os.close(reader)
    assert "Traceback" not in server.log()
    assert ("the access log cannot be written" if reads else "its reader does not read") in server.log()


def test_the_access_log_counts_the_bytes_that_are_sent(start_server, add_version, wait_until):
    add_version("half_plus_two", 1)
    server = start_server("--access_log")
    body = json.dumps({"inputs": [[float(number)] for number in range(3000)]})
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=20)
    connection.request("POST", "/v1/models/m:predict", body, {"Accept-Encoding": "gzip"})
    packed = connection.getresponse().read()
    connection.request("HEAD", "/v1/models/m")
    connection.getresponse().read()
    connection.close()

    def lines():
        found = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
        return [(line["method"], line["responseBytes"]) for line in found if line["path"].startswith("/v1/")]

    wait_until(lambda: len(lines()) == 2)
    assert lines() == [("POST", len(packed)), ("HEAD", 0)]


def _metadata_request(name):
    from model_server._protos.tensorflow_serving.apis import get_model_metadata_pb2

    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = name
    return request
