"""TensorFlow Serving's own client library against our server, each in the environment that a user would have."""

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "model_server/tests/data/half_plus_two"
ENVIRONMENTS = {
    "client": "uv sync --locked --only-group client",
    "server": "uv sync --locked --no-default-groups --package modelpress-server",
}
START_SECONDS = 60.0
DT_FLOAT = 1


def environment(name):
    """The environment's programs; where it is missing, the failure text says how to make it."""
    folder = ROOT / ".envs" / name
    if not (folder / "bin/python").exists():
        pytest.fail(f".envs/{name} is missing: run `UV_PROJECT_ENVIRONMENT=.envs/{name} {ENVIRONMENTS[name]}`.")
    return folder / "bin"


def wait_for_status(process, url, log):
    """Poll until the URL answers 200; the last observation is in the failure text."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.read()
        except (urllib.error.URLError, ConnectionError) as error:
            observation = error
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"{url} after {START_SECONDS} s: {observation}; {log.read_text()}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server_port(tmp_path_factory):
    """The gRPC port of a server that has nothing but its own dependencies."""
    folder = tmp_path_factory.mktemp("wire")
    shutil.copytree(MODEL, folder / "m/7")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        grpc_port, rest_port = one.getsockname()[1], two.getsockname()[1]
    log = folder / "log"
    command = [
        *(environment("server") / "tensorflow_model_server", f"--port={grpc_port}", f"--rest_api_port={rest_port}"),
        *("--model_name=m", f"--model_base_path={folder / 'm'}", "--bind_address=127.0.0.1"),
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        wait_for_status(process, f"http://127.0.0.1:{rest_port}/v1/models/m/metadata", log)
        yield grpc_port
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def answers(server_port):
    """What the client printed."""
    result = subprocess.run(
        [environment("client") / "python", Path(__file__).with_name("client.py"), f"127.0.0.1:{server_port}"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("name", "values", "array"),
    [
        ("tensor_content", [2.5, 3.0, 4.5], [[2.5], [3.0], [4.5]]),
        ("one_value_fills", [4.0, 4.0], [[4.0], [4.0]]),
        ("other_rank", [2.5, 3.0], [2.5, 3.0]),
        ("own_version", [2.5], [[2.5]]),
    ],
)
def test_answers_are_typed_values(answers, name, values, array):
    assert answers[name] == {
        "float_val": values,
        "content_bytes": 0,
        "array": array,
        "dtype": "float32",
        "model_spec": ["m", 7, "serving_default"],
    }


def test_other_signature_answers_under_its_name(answers):
    assert answers["other_signature"]["float_val"] == [3.0]
    assert answers["other_signature"]["model_spec"] == ["m", 7, "triple"]


@pytest.mark.parametrize(
    ("name", "code", "details"),
    [
        ("unknown_model", "NOT_FOUND", "Servable not found for request: Latest(n)"),
        ("unknown_version", "NOT_FOUND", "Servable not found for request: Specific(m, 9)"),
        ("unknown_label", "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
        ("no_spec", "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("no_name", "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ("unknown_signature", "FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
        (
            "missing_input",
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            "unknown_output",
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        ("output_twice", "INVALID_ARGUMENT", "duplicate output tensor alias: y"),
        ("wrong_dtype", "INVALID_ARGUMENT", 'input "x" has dtype float64, but the signature takes float32 (DT_FLOAT).'),
        (
            "metadata_without_field",
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        ("metadata_of_other_field", "INVALID_ARGUMENT", "Metadata field f is not supported"),
        ("status_of_unknown_model", "NOT_FOUND", "Could not find any versions of model n"),
        ("classify", "UNIMPLEMENTED", "Method not found!"),
        ("regress", "UNIMPLEMENTED", "Method not found!"),
        ("reload", "UNIMPLEMENTED", "Method not found!"),
    ],
)
def test_refusals_have_their_code_and_text(answers, name, code, details):
    assert answers[name] == {"code": code, "details": details}


def test_metadata_is_the_signature_map(answers):
    expected = {
        "inputs": {"x": [DT_FLOAT, [-1, 1]]},
        "outputs": ["y"],
        "method_name": "tensorflow/serving/predict",
    }
    assert answers["metadata"] == {"serving_default": expected, "triple": expected}


def test_status_is_available(answers):
    assert answers["status"] == [[7, "AVAILABLE", 0, ""]]


def test_server_environment_has_no_tensorflow():
    listing = subprocess.run(
        [environment("server") / "python", "-c", "import importlib.util as u; print(u.find_spec('tensorflow'))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert listing.stdout == "None\n"
