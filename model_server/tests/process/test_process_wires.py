import gzip
import json
import urllib.request

import grpc
import pytest

from model_server._protos import health_pb2
from model_server._protos.tensorflow.core.framework import types_pb2
from model_server._protos.tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)


def request(values, shape, **spec):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = spec.pop("name", "m")
    message.model_spec.signature_name = spec.pop("signature", "")
    if "version" in spec:
        message.model_spec.version.value = spec.pop("version")
    tensor = message.inputs["x"]
    tensor.dtype = types_pb2.DT_FLOAT
    tensor.float_val.extend(values)
    for size in shape:
        tensor.tensor_shape.dim.add().size = size
    return message


def refusal(call, message):
    with pytest.raises(grpc.RpcError) as error:
        call(message, timeout=10)
    return error.value.code().name, error.value.details()


def test_predictions_over_both_wires(start_server, add_version):
    add_version("half_plus_two", 3)
    server = start_server()
    response = server.prediction.Predict(request([1, 2], [2, 1]), timeout=10)
    assert list(response.outputs["y"].float_val) == [2.5, 3.0]
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 3)
    assert response.model_spec.signature_name == "serving_default"
    triple = server.prediction.Predict(request([1], [1, 1], signature="triple", version=3), timeout=10)
    assert list(triple.outputs["y"].float_val) == [3.0]
    assert server.predict({"instances": [[1.0], [2]]}) == (200, {"predictions": [[2.5], [3.0]]})
    assert server.predict({"signature_name": "triple", "inputs": [2]}) == (200, {"outputs": [6.0]})
    zipped = gzip.compress(b'{"instances": [1, 2]}')
    answer = server.http("/V1/Models/m/versions/3:Predict", zipped, headers={"Content-Encoding": "gzip"})
    assert (answer[0], json.loads(answer[1])) == (200, {"predictions": [2.5, 3.0]})


@pytest.mark.parametrize("numbers", [[2], [0.5] * 192, [0.5] * 193, list(range(20_000))])
@pytest.mark.parametrize("model", ["half_plus_two", "tiny_image"])
def test_numbers_in_one_list_are_answered_alike_however_they_are_read(start_server, add_version, model, numbers):
    add_version(model, 3)
    server = start_server()
    instances = json.dumps(numbers)
    long_way = server.http("/v1/models/m:predict", f'{{"signature_name":"","instances":{instances}}}'.encode())
    assert server.http("/v1/models/m:predict", f'{{"instances":{instances}}}'.encode()) == long_way


def test_refusals_over_grpc(start_server, add_version):
    add_version("half_plus_two", 3)
    server = start_server()
    predict = server.prediction.Predict
    assert refusal(predict, request([1], [1], name="n")) == ("NOT_FOUND", "Servable not found for request: Latest(n)")
    assert refusal(predict, request([1], [1], version=9)) == (
        "NOT_FOUND",
        "Servable not found for request: Specific(m, 9)",
    )
    assert refusal(predict, predict_pb2.PredictRequest()) == ("INVALID_ARGUMENT", "Missing ModelSpec")
    assert refusal(predict, request([1], [1], name="")) == (
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    )
    assert refusal(predict, request([1], [1], signature="s")) == (
        "FAILED_PRECONDITION",
        'Serving signature key "s" not found.',
    )
    message = request([1], [1])
    message.inputs["z"].CopyFrom(message.inputs["x"])
    del message.inputs["x"]
    assert refusal(predict, message) == (
        "INVALID_ARGUMENT",
        (
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value"
            " provided. Inputs expected to be in the request {z}, or default input alias set: "
        ),
    )
    del message.inputs["z"]
    assert refusal(predict, message) == (
        "INVALID_ARGUMENT",
        ("input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}."),
    )
    message = request([1], [1])
    message.output_filter.append("z")
    assert refusal(predict, message) == (
        "INVALID_ARGUMENT",
        ("output tensor alias not found in signature: z Outputs expected to be in the set {y}."),
    )
    message.output_filter[:] = ["y", "y"]
    assert refusal(predict, message) == ("INVALID_ARGUMENT", "duplicate output tensor alias: y")
    message = request([1], [1])
    message.model_spec.version_label = "stable"
    assert refusal(predict, message) == ("INVALID_ARGUMENT", "Unrecognized servable version label: stable")
    code, details = refusal(predict, request([1], [1], name="n" * 2000))
    assert (code, len(details), details[-15:]) == ("NOT_FOUND", 1024 + 12, "nnn...TRUNCATED"[-15:])


def test_wrong_dtypes_and_sizes_do_no_harm(start_server, add_version):
    add_version("half_plus_two", 1)
    server = start_server()
    for dtype, content in (
        (types_pb2.DT_DOUBLE, b"\0" * 8),
        (types_pb2.DT_INT32, b"\0" * 4),
        (types_pb2.DT_FLOAT, b""),
    ):
        message = request([], [1])
        message.inputs["x"].dtype = dtype
        message.inputs["x"].tensor_content = content
        assert refusal(server.prediction.Predict, message)[0] == "INVALID_ARGUMENT"
    message = request([], [2])
    message.inputs["x"].tensor_content = b"\0" * 4
    assert refusal(server.prediction.Predict, message)[0] == "INVALID_ARGUMENT"
    assert list(server.prediction.Predict(request([1], [1, 1]), timeout=10).outputs["y"].float_val) == [2.5]


def test_refusals_over_rest(start_server, add_version):
    add_version("half_plus_two", 3)
    server = start_server()
    predict = "/v1/models/m:predict"
    missing = "Servable not found for request: Latest(n)"
    assert server.predict({"instances": [1]}, "/v1/models/n:predict") == (404, {"error": missing})
    status, answer = server.predict({"instances": [1], "signature_name": "s"})
    assert (status, answer) == (400, {"error": 'Serving signature name: "s" not found in signature def'})
    for method, path in (
        ("GET", predict),
        ("POST", predict + "?x=1"),
        ("POST", "/v1/models/m"),
        ("DELETE", "/v1/models/m"),
    ):
        status, body = server.http(path, b"{}" if method == "POST" else None, method)
        assert (status, json.loads(body)) == (400, {"error": f"Malformed request: {method} {path}"})
    assert server.http("/elsewhere")[0] == 404
    assert server.http("/monitoring/prometheus/metrics")[0] == 404
    assert server.http(predict, b"x", headers={"Content-Encoding": "gzip"})[0] == 400
    label = server.predict({"instances": [1]}, "/v1/models/m/labels/stable:predict")
    assert label == (400, {"error": "Unrecognized servable version label: stable"})
    for version in ("9223372036854775808", "9" * 5000):
        refused = (400, {"error": f"Failed to convert version: {version} to numeric."})
        assert server.predict({"instances": [1]}, f"/v1/models/m/versions/{version}:predict") == refused
        status, body = server.http(f"/v1/models/m/versions/{version}/metadata")
        assert (status, json.loads(body)) == refused
    assert server.http(f"/v1/models/m/versions/{'0' * 5000}3/metadata")[0] == 200


def test_shapes_that_no_array_has_are_refused_over_both_wires(start_server, add_version):
    add_version("echo_bytes", 3)
    server = start_server()
    for shape in ([1] * 33, [1] * 65, [0, 2**62]):
        message = request([], shape)
        message.inputs["payload"].CopyFrom(message.inputs.pop("x"))
        message.inputs["payload"].dtype = types_pb2.DT_STRING
        message.inputs["payload"].string_val.extend([b"a"] * shape[0])
        assert refusal(server.prediction.Predict, message)[0] == "INVALID_ARGUMENT"
    for depth in (33, 65, 900):
        body = b'{"instances": ' + b"[" * depth + b'"a"' + b"]" * depth + b"}"
        assert server.http("/v1/models/m:predict", body)[0] == 400
    assert server.predict({"instances": ["a"]})[0] == 200
    assert "Traceback" not in server.log()


def test_status_and_metadata_over_both_wires(start_server, add_version):
    add_version("two_by_two", 5)
    server = start_server()
    assert json.loads(server.http("/v1/models/m")[1]) == {
        "model_version_status": [
            {"version": "5", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    assert json.loads(server.http("/v1/models/m/versions/9")[1]) == {"error": "Could not find version 9 of model m"}
    document = json.loads(server.http("/v1/models/m/metadata")[1])
    assert document["model_spec"] == {"name": "m", "signature_name": "", "version": "5"}
    definition = document["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["defaults"] == {}
    assert definition["inputs"]["n"] == {
        "dtype": "DT_INT32",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_n:0",
    }
    query = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    query.model_spec.name = "m"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert server.prediction.GetModelMetadata(query, timeout=10).metadata["signature_def"].Unpack(signatures)
    assert sorted(signatures.signature_def["serving_default"].inputs) == ["a", "b", "n"]
    query.metadata_field[:] = ["f"]
    assert refusal(server.prediction.GetModelMetadata, query) == (
        "INVALID_ARGUMENT",
        "Metadata field f is not supported",
    )
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "m"
    (entry,) = server.model.GetModelStatus(status, timeout=10).model_version_status
    assert (entry.version, entry.state, entry.status.error_code) == (5, entry.AVAILABLE, 0)
    status.model_spec.name = "n"
    assert refusal(server.model.GetModelStatus, status) == ("NOT_FOUND", "Could not find any versions of model n")


def test_several_inputs_outputs_and_an_output_filter(start_server, add_version):
    add_version("two_by_two", 1)
    server = start_server()
    rows = [{"a": [1, 2], "b": [0.5, 0.5], "n": 3}, {"a": [0, 0], "b": [1, 1], "n": -1}]
    assert server.predict({"instances": rows}) == (
        200,
        {"predictions": [{"scaled": 6, "total": [1.5, 2.5]}, {"scaled": -2, "total": [1.0, 1.0]}]},
    )
    message = predict_pb2.PredictRequest(output_filter=["scaled"])
    message.model_spec.name = "m"
    for name, dtype, field in (("a", types_pb2.DT_FLOAT, "float_val"), ("b", types_pb2.DT_FLOAT, "float_val")):
        message.inputs[name].dtype = dtype
        getattr(message.inputs[name], field).append(1)
        for size in (1, 2):
            message.inputs[name].tensor_shape.dim.add().size = size
    message.inputs["n"].dtype = types_pb2.DT_INT32
    message.inputs["n"].int_val.append(4)
    message.inputs["n"].tensor_shape.dim.add().size = 1
    outputs = server.prediction.Predict(message, timeout=10).outputs
    assert list(outputs) == ["scaled"]
    assert list(outputs["scaled"].int_val) == [8]


def test_strings_cross_as_base64(start_server, add_version):
    add_version("echo_bytes", 1)
    server = start_server()
    assert server.predict({"instances": ["a", {"b64": "/wA="}]}) == (
        200,
        {"predictions": [[{"b64": "YQ=="}], [{"b64": "/wA="}]]},
    )


def test_health_is_always_on(start_server, add_version):
    add_version("half_plus_two", 1)
    server = start_server()
    for service in ("", "tensorflow.serving.PredictionService"):
        answer = server.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert refusal(server.health.Check, health_pb2.HealthCheckRequest(service="x"))[0] == "NOT_FOUND"
    assert server.http("/healthz")[0] == 200


def test_metrics_count_both_wires(start_server, add_version, monitoring_flag):
    add_version("half_plus_two", 2)
    server = start_server(monitoring_flag)
    server.prediction.Predict(request([1], [1, 1]), timeout=10)
    server.predict({"instances": [1]})
    server.predict({"instances": ["no"]})
    status, page = server.http("/metrics")
    assert status == 200
    lines = set(page.splitlines())
    latency = ":tensorflow:serving:request_latency_count"
    assert {
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 2',
        ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1',
        f'{latency}{{model_name="m",API="Predict",entrypoint="GRPC"}} 1',
        f'{latency}{{model_name="m",API="predict",entrypoint="REST"}} 1',
        ':tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="TF1"} 2',
        'modelpress_predict_duration_seconds_count{model_name="m",version="2",API="Predict",entrypoint="GRPC"} 1',
    } <= lines


def test_tensor_content_when_asked_for(start_server, add_version):
    add_version("half_plus_two", 1)
    server = start_server("--enable_serialization_as_tensor_content")
    y = server.prediction.Predict(request([2], [1, 1]), timeout=10).outputs["y"]
    assert (list(y.float_val), y.tensor_content) == ([], b"\x00\x00\x40\x40")


def test_unix_socket_serves_and_replaces_a_stale_file(start_server, add_version, tmp_path):
    add_version("half_plus_two", 1)
    path = tmp_path / "s"
    for _ in range(2):
        server = start_server(f"--grpc_socket_path={path}")
        with grpc.insecure_channel(f"unix:{path}") as channel:
            stub = type(server.prediction)(channel)
            assert list(stub.Predict(request([2], [1, 1]), timeout=10).outputs["y"].float_val) == [3.0]
        server.process.kill()
        server.process.wait()


def test_unix_socket_may_be_the_only_way_in(start_server, add_version, tmp_path, wait_until):
    add_version("half_plus_two", 1)
    server = start_server("--port=0", f"--grpc_socket_path={tmp_path / 's'}", "--rest_api_port=0", ready=False)
    wait_until(lambda: "serving: gRPC on port 0, REST on port 0" in server.log())
    with grpc.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
        stub = type(server.prediction)(channel)
        assert list(stub.Predict(request([2], [1, 1]), timeout=10).outputs["y"].float_val) == [3.0]
    assert refusal(server.prediction.Predict, request([2], [1, 1]))[0] == "UNAVAILABLE"


def test_more_calls_than_threads_are_refused_and_health_still_answers(start_server, add_version, wait_until):
    add_version("half_plus_two", 1)
    server = start_server("--grpc_max_threads=1")
    message = request([1], [200_000, 1])
    codes: set[str] = set()

    def ask_together():
        futures = [server.prediction.Predict.future(message, timeout=20) for _ in range(16)]
        assert server.health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1
        codes.update(future.code().name for future in futures)
        return codes == {"OK", "RESOURCE_EXHAUSTED"}

    wait_until(ask_together)
    assert codes == {"OK", "RESOURCE_EXHAUSTED"}


def test_browsers_of_any_origin_are_answered_when_allowed(start_server, add_version):
    add_version("half_plus_two", 1)
    server = start_server("--rest_api_enable_cors_support=true")
    for method, path in (("OPTIONS", "/v1/models/m:predict"), ("GET", "/v1/models/m")):
        query = urllib.request.Request(f"http://127.0.0.1:{server.rest_port}{path}", method=method)
        with urllib.request.urlopen(query, timeout=20) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert json.loads(start_server().http("/v1/models/m", method="OPTIONS")[1]) == {
        "error": "Malformed request: OPTIONS /v1/models/m"
    }
