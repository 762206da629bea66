import json
import shutil
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest


def run_command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "model_server", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_prints_usage_and_exits_255():
    result = run_command("--help")
    assert result.returncode == 255
    assert result.stdout.startswith("usage: ")
    assert "--rest_api_port=0" in result.stdout


def test_bad_value_is_named_and_exits_255():
    result = run_command("--port=x")
    assert result.returncode == 255
    assert result.stderr == "Couldn't interpret value x for flag port.\n"
    assert result.stdout.startswith("usage: ")


def test_version_exits_0():
    result = run_command("--version")
    assert (result.returncode, result.stdout.split(":")[0]) == (0, "Modelpress model server")


def test_unknown_arguments_are_told_and_passed_over():
    result = run_command("--nonsense", "--mixed_precision=x")
    assert result.returncode == 255
    assert result.stdout.startswith("unknown argument: --nonsense\nusage: ")
    assert result.stderr == (
        "--mixed_precision: accepted, no effect\n"
        "Both --model_base_path and --model_config_file are empty! Give the folder that holds the version folders,"
        " an artifact, or a file that lists models.\n"
    )


@pytest.mark.parametrize("flag", ["--port", "--rest_api_port"])
def test_busy_port_is_named_with_the_remedy(start_server, add_version, flag):
    add_version("half_plus_two", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = start_server(f"{flag}={port}", ready=False)
        assert server.wait_exit() == 255
    last = server.log().strip().splitlines()[-1]
    assert last.startswith(f"{flag}={port} cannot be opened for ")
    assert last.endswith(".")


def test_ports_open_only_when_a_version_is_available(start_server, add_version, wait_until):
    server = start_server(ready=False)
    wait_until(lambda: server.log().count("Could not find base path") >= 2 or None)
    assert server.http("/healthz")[0] == 0
    add_version("half_plus_two", 1)
    server.wait_ready()
    assert server.predict({"instances": [2]}) == (200, {"predictions": [3.0]})


def test_sigterm_before_any_version_exits_0(start_server, wait_until):
    server = start_server(ready=False)
    wait_until(lambda: "Could not find base path" in server.log())
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_golden_mismatch_is_refused(start_server, add_version):
    folder = add_version("tiny_image", 1)
    outputs = np.load(folder / "assets.extra/golden/outputs.npy")
    np.save(folder / "assets.extra/golden/outputs.npy", outputs[::-1])
    server = start_server(ready=False)
    assert server.wait_exit() == 255
    last = server.log().strip().splitlines()[-1]
    assert last.startswith("Failed to start server. Error: 1 servable(s) did not become available: {m: The golden")


def test_golden_answers_let_the_version_serve(start_server, add_version):
    folder = add_version("tiny_image", 1)
    server = start_server()
    images = np.load(folder / "assets.extra/golden/inputs.npy").tolist()
    _, answer = server.predict({"instances": images})
    expected = np.load(folder / "assets.extra/golden/outputs.npy")
    np.testing.assert_allclose(np.array(answer["predictions"]), expected, atol=1e-3)


def test_half_copied_version_is_never_served(start_server, add_version, tmp_path, models, wait_until):
    add_version("half_plus_two", 1)
    server = start_server()
    content = (models / "tiny_image/model.tflite").read_bytes()
    (tmp_path / "models/m/2").mkdir()
    (tmp_path / "models/m/2/model.tflite").write_bytes(content[:1000])

    def states():
        entries = json.loads(server.http("/v1/models/m")[1])["model_version_status"]
        return [(entry["version"], entry["state"]) for entry in entries]

    wait_until(lambda: states() == [("2", "END"), ("1", "AVAILABLE")])
    assert server.predict({"instances": [2]}) == (200, {"predictions": [3.0]})
    (tmp_path / "models/m/2/model.tflite").write_bytes(content)
    wait_until(lambda: states() == [("2", "AVAILABLE"), ("1", "END")])


def test_new_version_takes_over_without_a_failed_request(start_server, add_version, wait_until):
    add_version("half_plus_two", 1)
    server = start_server()
    stop, answers = threading.Event(), []

    def ask():
        while not stop.is_set():
            answers.append(server.predict({"instances": [2]}))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(answers) > 20)
        add_version("half_plus_two", 2)
        wait_until(lambda: '"END"' in server.http("/v1/models/m/versions/1")[1])
        seen = len(answers)
        wait_until(lambda: len(answers) > seen + 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert all(answer == {"predictions": [3.0]} for _, answer in answers)


def test_deleting_every_version_makes_the_server_unready(start_server, add_version, wait_until):
    folder = add_version("half_plus_two", 1)
    server = start_server()
    shutil.rmtree(folder)
    wait_until(lambda: server.http("/readyz")[0] == 503)
    assert server.predict({"instances": [2]})[0] == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_the_request_under_way_finish(start_server, add_version, wait_until, number):
    add_version("half_plus_two", 1)
    server = start_server()
    body = b'{"instances": [2]}'
    head = f"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        # Half of the request is sent, so that it is under way when the signal comes.
        connection.sendall(head + body[:5])
        wait_until(lambda: server.http("/healthz")[0] == 200)
        server.process.send_signal(number)
        wait_until(lambda: "draining" in server.log())
        wait_until(lambda: server.http("/healthz")[0] == 0)
        assert server.process.poll() is None
        connection.sendall(body[5:])
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'"predictions": [3.0]\n}')
    assert server.wait_exit() == 0
