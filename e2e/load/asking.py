"""Asks a served model for one image, over REST and over gRPC."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

import grpc
import numpy as np
from numpy.typing import NDArray

from model_server._protos.tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

TIMEOUT_SECONDS = 30

Image = NDArray[np.uint8]
Ask = Callable[[], NDArray[np.float32]]


class Served(Protocol):
    """Where a model answers."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def host(self) -> str:
        """Name or address."""

    @property
    def rest_port(self) -> int:
        """Of the REST API."""

    @property
    def grpc_port(self) -> int:
        """Of the gRPC API."""


@contextmanager
def rest_asker(server: Served, image: Image) -> Iterator[Ask]:
    """Asks for one image over one kept connection, row format."""
    connection = http.client.HTTPConnection(server.host, server.rest_port, timeout=TIMEOUT_SECONDS)
    body = render_predict_body(image)
    path = f"/v1/models/{server.name}:predict"

    def ask() -> NDArray[np.float32]:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {answer}")
        return np.array(answer["predictions"][0], np.float32)

    with closing(connection):
        yield ask


def render_predict_body(image: Image) -> bytes:
    """The REST request for one image, row format."""
    return json.dumps({"instances": [image.tolist()]}).encode()


@contextmanager
def grpc_asker(server: Served, image: Image) -> Iterator[Ask]:
    """Asks for one image over one channel, raw float32 bytes."""
    channel = grpc.insecure_channel(f"{server.host}:{server.grpc_port}")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = server.name
    tensor = request.inputs["image"]
    tensor.dtype = 1  # DT_FLOAT
    tensor.tensor_content = image.astype(np.float32).tobytes()
    for size in (1, *image.shape):
        tensor.tensor_shape.dim.add(size=size)

    def ask() -> NDArray[np.float32]:
        answer = stub.Predict(request, timeout=TIMEOUT_SECONDS)
        return np.array(answer.outputs["probabilities"].float_val, np.float32)

    with channel:
        yield ask
