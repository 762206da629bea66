"""The model server takes an artifact where it lies: in a bucket."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from first_answer import START_SECONDS, wait_for_answer
from loopback import free_ports

from model_artifact.packing import pack

ROOT = Path(__file__).resolve().parents[2]
HALF_PLUS_TWO = ROOT / "model_server/tests/data/half_plus_two"


def start(log, environment, *flags):
    """A server process, and the port of its REST."""
    grpc_port, rest_port = free_ports(2)
    command = [sys.executable, "-m", "model_server", "--bind_address=127.0.0.1", f"--port={grpc_port}"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, f"--rest_api_port={rest_port}", "--model_name=m", *flags],
            stdout=stream,
            stderr=stream,
            env={**os.environ, **environment},
        )
    return process, rest_port


def predict(process, port, log):
    """The answer to one prediction, once there is one."""
    url = f"http://127.0.0.1:{port}/v1/models/m:predict"
    return json.loads(wait_for_answer(process, url, log, b'{"instances": [2.0]}'))


def test_an_artifact_in_a_bucket_is_served_by_its_uri(bucket, environment, tmp_path):
    pack(HALF_PLUS_TWO, tmp_path / "half.zip")
    bucket.upload(tmp_path / "half.zip", "models/half.zip")
    log, scratch = tmp_path / "log", tmp_path / "scratch"
    scratch.mkdir()
    flag = f"--model_base_path=s3://{bucket.name}/models/half.zip"
    process, port = start(log, {**environment, "TMPDIR": str(scratch)}, flag)
    try:
        assert predict(process, port, log) == {"predictions": [3.0]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert list(scratch.iterdir()) == []


def test_an_object_that_is_not_there_stops_the_start(bucket, environment, tmp_path):
    uri = f"s3://{bucket.name}/none.zip"
    log = tmp_path / "log"
    process, _ = start(log, environment, f"--model_base_path={uri}")
    try:
        assert process.wait(START_SECONDS) == 255
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    last = log.read_text().strip().splitlines()[-1]
    assert last.startswith(f"Failed to start server. Error: The artifact {uri} cannot be unpacked: ")
