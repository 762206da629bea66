import shutil
import struct

import pytest

from model_server._protos import warmup_record_pb2
from model_server._protos.tensorflow_serving.apis import predict_pb2
from model_server.errors import LoadError
from model_server.inference import Inference
from model_server.servable import EngineSettings, load_servable
from model_server.tfrecord import crc32c, masked
from model_server.warmup import MOST_RECORDS, warm_up


@pytest.fixture
def folder(models, tmp_path):
    return shutil.copytree(models / "examples", tmp_path / "1")


@pytest.fixture
def servable(folder):
    loaded = load_servable("m", 1, folder, EngineSettings(interpreters=1, threads=1))
    yield loaded
    loaded.engine.close()


class Runs:
    """Runs what is asked, and remembers what."""

    def __init__(self):
        self.apis = []
        self.observed = []

    def make_runner(self, servable, api):
        """A runner that remembers its name."""

        def run(signature, inputs, _filter):
            self.apis.append((api, signature.name))
            return servable.run(signature, inputs)

        return run

    def observe(self, *told):
        """Remember what was told, without the seconds."""
        self.observed.append(told[:3])


@pytest.fixture
def runs():
    return Runs()


def warm(servable, folder, runs, **settings):
    warm_up(servable, folder, Inference(), runs.make_runner, observe=runs.observe, **settings)


def write_records(folder, *records):
    data = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        data += length + struct.pack("<I", masked(crc32c(length))) + record + struct.pack("<I", masked(crc32c(record)))
    (folder / "assets.extra/tf_serving_warmup_requests").write_bytes(data)


def render_record(**logs):
    return warmup_record_pb2.WarmupRecord(**logs).SerializeToString()


def test_every_kind_of_record_is_replayed(servable, folder, runs):
    warm(servable, folder, runs)
    once = [
        ("Predict", "serving_default"),
        ("Classify", "classify"),
        ("Regress", "regress"),
        ("MultiInference", "classify"),
        ("MultiInference", "regress"),
    ]
    assert runs.apis == once
    assert runs.observed == [(str(folder), "OK", 4)]


def test_records_are_repeated_as_often_as_told(servable, folder, runs):
    warm(servable, folder, runs, iterations=3)
    assert len(runs.apis) == 15


def test_folder_without_records_is_warm(servable, folder, runs):
    (folder / "assets.extra/tf_serving_warmup_requests").unlink()
    warm(servable, folder, runs)
    assert (runs.apis, runs.observed) == ([], [])


def test_request_that_is_refused_fails_the_version(servable, folder, runs):
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "s"
    write_records(folder, render_record(predict_log={"request": request.SerializeToString()}))
    with pytest.raises(LoadError, match=r'^The version refuses record 0 of .*: Serving signature key "s" not found.$'):
        warm(servable, folder, runs)
    assert runs.observed == [(str(folder), "FAILED_PRECONDITION", 0)]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff", "^Failed to parse warmup record: record 0 of"),
        (b"", "^Unsupported log_type for warmup: record 0 of .* holds no request"),
        (render_record(session_run_log=b"x"), "^Unsupported log_type for warmup: .* holds session_run_log"),
        (render_record(predict_log={"request": b"\xff"}), "^The version refuses record 0 of"),
    ],
)
def test_record_that_is_none_fails_the_version(servable, folder, runs, record, message):
    write_records(folder, record)
    with pytest.raises(LoadError, match=message):
        warm(servable, folder, runs)


def test_too_many_records_fail_the_version(servable, folder, runs):
    request = predict_pb2.PredictRequest()
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add().size = 1
    request.inputs["x"].tensor_shape.dim.add().size = 2
    request.inputs["x"].float_val.append(1.0)
    record = render_record(predict_log={"request": request.SerializeToString()})
    write_records(folder, *[record] * (MOST_RECORDS + 1))
    with pytest.raises(LoadError, match=r"^Number of warmup records exceeds the maximum \(1000\) at "):
        warm(servable, folder, runs)
    assert len(runs.apis) == MOST_RECORDS
