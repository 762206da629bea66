"""What TensorFlow Serving's own client library sees of a server, as one JSON object on stdout.

Runs in the environment of the dependency group `client`, where `tensorflow-serving-api` is;
`test_wire_compatibility.py` starts it and judges what it prints.

    .envs/client/bin/python e2e/wire/client.py HOST:PORT
"""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

TIMEOUT_SECONDS = 20


def main() -> None:
    """Ask everything, and print the answers by the name of the question."""
    with grpc.insecure_channel(sys.argv[1]) as channel:
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        model = model_service_pb2_grpc.ModelServiceStub(channel)
        answers = {
            **dict(ask_predictions(prediction.Predict)),
            **dict(ask_refused_predictions(prediction.Predict)),
            **dict(ask_about_the_model(prediction, model)),
        }
    print(json.dumps(answers))


def plan_request(array: Any, dtype: Any = None, **spec: Any) -> predict_pb2.PredictRequest:
    """A request for `m` with the input x."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.get("name", "m")
    request.model_spec.signature_name = spec.get("signature", "")
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(array, dtype=dtype))
    return request


def ask(method: Callable[..., Any], request: Any) -> dict[str, Any]:
    """The answer, or the code and the details of the refusal."""
    try:
        response = method(request, timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    return {"response": response}


def ask_predictions(predict: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Answers as typed values, in every form that clients send inputs."""
    content = np.array([[1.0], [2.0], [5.0]], np.float32)
    values = predict_pb2.PredictRequest()
    values.CopyFrom(plan_request([[1.0]]))
    values.inputs["x"].Clear()
    values.inputs["x"].dtype = tf.float32.as_datatype_enum
    values.inputs["x"].float_val.append(4.0)
    values.inputs["x"].tensor_shape.CopyFrom(tf.TensorShape([2, 1]).as_proto())
    requests = {
        "tensor_content": plan_request(content),
        "one_value_fills": values,
        "other_rank": plan_request(np.array([1.0, 2.0], np.float32)),
        "other_signature": plan_request(content[:1], signature="triple"),
        "own_version": plan_request(content[:1], version=7),
    }
    for name, request in requests.items():
        answer = ask(predict, request)
        if "response" in answer:
            response = answer["response"]
            proto = response.outputs["y"]
            answer = {
                "float_val": list(proto.float_val),
                "content_bytes": len(proto.tensor_content),
                "array": tf.make_ndarray(proto).tolist(),
                "dtype": tf.dtypes.as_dtype(proto.dtype).name,
                "model_spec": [
                    response.model_spec.name,
                    response.model_spec.version.value,
                    response.model_spec.signature_name,
                ],
            }
        yield name, answer


def ask_refused_predictions(predict: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Requests that must be refused."""
    missing = plan_request([[1.0]])
    del missing.inputs["x"]
    filtered = plan_request([[1.0]])
    filtered.output_filter.append("z")
    twice = plan_request([[1.0]])
    twice.output_filter.extend(["y", "y"])
    labelled = plan_request([[1.0]])
    labelled.model_spec.version_label = "stable"
    requests = {
        "unknown_model": plan_request([[1.0]], name="n"),
        "unknown_version": plan_request([[1.0]], version=9),
        "unknown_label": labelled,
        "no_spec": predict_pb2.PredictRequest(),
        "no_name": plan_request([[1.0]], name=""),
        "unknown_signature": plan_request([[1.0]], signature="s"),
        "missing_input": missing,
        "unknown_output": filtered,
        "output_twice": twice,
        "wrong_dtype": plan_request([[1.0]], dtype=tf.float64),
    }
    for name, request in requests.items():
        yield name, ask(predict, request)


def ask_about_the_model(prediction: Any, model: Any) -> Iterator[tuple[str, Any]]:
    """Metadata, status and the methods that are not served yet."""
    query = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    query.model_spec.name = "m"
    response = ask(prediction.GetModelMetadata, query)["response"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    yield (
        "metadata",
        {
            key: {
                "inputs": {
                    alias: [info.dtype, [d.size for d in info.tensor_shape.dim]] for alias, info in s.inputs.items()
                },
                "outputs": sorted(s.outputs),
                "method_name": s.method_name,
            }
            for key, s in signatures.signature_def.items()
        },
    )
    query.metadata_field[:] = []
    yield "metadata_without_field", ask(prediction.GetModelMetadata, query)
    query.metadata_field[:] = ["f"]
    yield "metadata_of_other_field", ask(prediction.GetModelMetadata, query)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "m"
    entries = ask(model.GetModelStatus, status)["response"].model_version_status
    yield "status", [[e.version, e.State.Name(e.state), e.status.error_code, e.status.error_message] for e in entries]
    status.model_spec.name = "n"
    yield "status_of_unknown_model", ask(model.GetModelStatus, status)
    yield "classify", ask(prediction.Classify, classification_pb2.ClassificationRequest())
    yield "regress", ask(prediction.Regress, regression_pb2.RegressionRequest())
    yield "reload", ask(model.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())


if __name__ == "__main__":
    main()
