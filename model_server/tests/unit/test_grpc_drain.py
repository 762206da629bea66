"""The end waits for what is being computed, and for nothing that has not begun."""

import threading
from dataclasses import replace

import grpc
import numpy as np
import pytest
from waiting import wait_until

from model_server._protos.tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from model_server.batching import BatchingEngine
from model_server.batching_settings import Batching
from model_server.engines import litert
from model_server.grpc_service import GrpcService, GrpcSettings
from model_server.inference import Inference
from model_server.metrics import Metrics
from model_server.model_config import ModelConfig
from model_server.predict import DataPlane
from model_server.repository import Repository
from model_server.servable import EngineSettings, load_servable
from model_server.served_model import Polling
from model_server.wire_grpc import render_tensor

WAIT_SECONDS = 20.0
CALLS = 6


@pytest.fixture
def plane(add_version, tmp_path, request):
    """One interpreter of one model, in batches where the test asks for them."""
    add_version("half_plus_two", 1)

    def load(name, version, folder):
        servable = load_servable(name, version, folder, EngineSettings(interpreters=1, threads=1))
        if request.param:
            servable = replace(servable, engine=BatchingEngine(servable.engine, Batching(threads=1)))
        return servable

    repository = Repository(load, Polling(1, 0, 0.001))
    repository.start([ModelConfig("m", str(tmp_path / "models/m"))], threading.Event())
    return DataPlane(repository, Metrics(repository))


@pytest.fixture
def runs(monkeypatch):
    """The shapes of what the graph was begun with, and what lets it end."""
    original, begun, may_end = litert._LoadedGraph.run, [], threading.Event()

    def run(graph, signature, inputs):
        begun.append(inputs["x"].shape)
        assert may_end.wait(WAIT_SECONDS)
        return original(graph, signature, inputs)

    monkeypatch.setattr(litert._LoadedGraph, "run", run)
    yield begun, may_end
    may_end.set()


@pytest.mark.parametrize(
    ("plane", "shape"), [(False, (1, 1)), (False, (2,)), (True, (1, 1))], indirect=["plane"], ids=str
)
def test_calls_that_wait_for_an_engine_are_not_run_after_the_grace(plane, runs, shape, tmp_path):
    begun, may_end = runs
    service = GrpcService(plane, Inference(), GrpcSettings("127.0.0.1", 0, tmp_path / "socket", 16))
    service.start()
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = "m"
    render_tensor(np.ones(shape, np.float32), asked.inputs["x"])
    with grpc.insecure_channel(f"unix:{tmp_path}/socket") as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        calls = [predict.future(asked) for _ in range(CALLS)]
        wait_until(lambda: len(plane._runs) == CALLS and begun)
        stopping = threading.Thread(target=service.stop, args=(0.2,))
        stopping.start()
        # Those that wait are through; what is being computed cannot be ended.
        wait_until(lambda: len(plane._runs) == 1)
        assert stopping.is_alive()
        may_end.set()
        stopping.join(WAIT_SECONDS)
        assert not stopping.is_alive()
        assert grpc.StatusCode.OK not in {call.code() for call in calls}
    assert begun == [shape]
