"""What TensorFlow Serving's own client library sees of a server, as one JSON object on stdout.

Runs in the environment of the dependency group `client`, where `tensorflow-serving-api` is;
`test_wire_compatibility.py` starts it and judges what it prints.

    .envs/client/bin/python e2e/wire/client.py PLAN

PLAN is a JSON object: `address` of the server, `socket` of the same one, `late_model` (a base path that it can be told
to serve), `tls` and `mutual_tls` (other servers: `address`, `root`, and for the latter `key` and `certificate`).
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

TIMEOUT_SECONDS = 20


def main() -> None:
    """Ask everything, and print the answers by the name of the question."""
    plan = json.loads(sys.argv[1])
    with grpc.insecure_channel(plan["address"]) as channel:
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        model = model_service_pb2_grpc.ModelServiceStub(channel)
        answers = {
            **dict(ask_predictions(prediction.Predict)),
            **dict(ask_refused_predictions(prediction.Predict)),
            **dict(ask_about_the_model(prediction, model)),
            **dict(ask_about_examples(prediction)),
            **dict(ask_refused_examples(prediction)),
            **dict(ask_to_reload(prediction, model, plan["late_model"])),
        }
    answers |= dict(ask_over_other_channels(plan))
    print(json.dumps(answers))


def plan_request(array: Any, dtype: Any = None, **spec: Any) -> predict_pb2.PredictRequest:
    """A request for `m` with the input x."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.get("name", "m")
    request.model_spec.signature_name = spec.get("signature", "")
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
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
        "own_label": plan_request(content[:1], label="stable"),
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
    requests = {
        "unknown_model": plan_request([[1.0]], name="n"),
        "unknown_version": plan_request([[1.0]], version=9),
        "unknown_label": plan_request([[1.0]], label="other"),
        "label_of_unknown_model": plan_request([[1.0]], name="n", label="stable"),
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
    status.model_spec.name = ""
    yield "status_without_name", ask(model.GetModelStatus, status)
    status.Clear()
    yield "status_without_spec", ask(model.GetModelStatus, status)


def plan_example(**features: list[Any]) -> tf.train.Example:
    """An example with lists of floats, whole numbers or strings."""
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        if isinstance(values[0], float):
            feature.float_list.value.extend(values)
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(values)
    return example


def plan_input(*examples: tf.train.Example, context: tf.train.Example | None = None) -> input_pb2.Input:
    """The examples as a request holds them."""
    if context is None:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))
    shared = input_pb2.ExampleListWithContext(examples=examples, context=context)
    return input_pb2.Input(example_list_with_context=shared)


def name_model(spec: Any, signature: str, name: str = "examples") -> None:
    """Fill a ModelSpec."""
    spec.name = name
    spec.signature_name = signature


def plan_classification(signature: str = "classify", *examples: tf.train.Example) -> Any:
    """A request to classify the examples, or one that is right."""
    request = classification_pb2.ClassificationRequest(input=plan_input(*(examples or [plan_example(x=[1.0, 2.0])])))
    name_model(request.model_spec, signature)
    return request


def plan_regression(signature: str = "regress", message: input_pb2.Input | None = None) -> Any:
    """A request to regress the examples, or one that is right."""
    message = message or plan_input(plan_example(x=[1.0, 2.0]))
    request = regression_pb2.RegressionRequest(input=message)
    name_model(request.model_spec, signature)
    return request


def plan_tasks(*tasks: tuple[str, str]) -> Any:
    """A request for several (signature, method)."""
    request = inference_pb2.MultiInferenceRequest(input=plan_input(plan_example(x=[1.0, 2.0])))
    for signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        name_model(task.model_spec, signature)
    return request


def render_spec(spec: Any) -> list[Any]:
    """A ModelSpec in the answers."""
    return [spec.name, spec.version.value, spec.signature_name]


def render_classes(result: Any) -> list[Any]:
    """A ClassificationResult in the answers."""
    return [[[one.label, one.score] for one in item.classes] for item in result.classifications]


def ask_about_examples(prediction: Any) -> Iterator[tuple[str, Any]]:
    """Classifications, regressions, both at once, and a prediction of serialised examples."""
    two = (plan_example(x=[1.0, 2.0]), plan_example(x=[-4.0, 0.5]))
    response = ask(prediction.Classify, plan_classification("classify", *two))["response"]
    yield "classify", [render_spec(response.model_spec), render_classes(response.result)]
    response = ask(prediction.Regress, plan_regression("regress", plan_input(*two)))["response"]
    yield "regress", [render_spec(response.model_spec), [one.value for one in response.result.regressions]]
    shared = plan_input(plan_example(n=[10]), plan_example(n=[20], x=[0.0, 1.0]), context=plan_example(x=[1.0, 2.0]))
    response = ask(prediction.Regress, plan_regression("regress_two", shared))["response"]
    yield "regress_with_context", [one.value for one in response.result.regressions]
    response = ask(prediction.MultiInference, plan_tasks(("classify", "classify"), ("regress", "regress")))["response"]
    one, other = response.results
    yield (
        "multi_inference",
        [
            [render_spec(one.model_spec), render_classes(one.classification_result)],
            [render_spec(other.model_spec), [item.value for item in other.regression_result.regressions]],
        ],
    )
    request = predict_pb2.PredictRequest()
    name_model(request.model_spec, "regress")
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([item.SerializeToString() for item in two]))
    response = ask(prediction.Predict, request)["response"]
    yield "predict_of_examples", tf.make_ndarray(response.outputs["outputs"]).tolist()


def ask_refused_examples(prediction: Any) -> Iterator[tuple[str, Any]]:
    """Requests about examples that must be refused."""
    other_model = plan_tasks(("classify", "classify"), ("regress", "regress"))
    other_model.tasks[1].model_spec.name = "m"
    requests = {
        "classify_nothing": (prediction.Classify, classification_pb2.ClassificationRequest()),
        "classify_no_examples": (prediction.Classify, plan_classification()),
        "classify_unknown_signature": (prediction.Classify, plan_classification("s")),
        "classify_by_regression": (prediction.Classify, plan_classification("regress")),
        "classify_by_prediction": (prediction.Classify, plan_classification("serving_default")),
        "classify_without_feature": (prediction.Classify, plan_classification("classify", plan_example(y=[1.0]))),
        "classify_other_type": (prediction.Classify, plan_classification("classify", plan_example(x=[1, 2]))),
        "classify_other_length": (prediction.Classify, plan_classification("classify", plan_example(x=[1.0]))),
        "regress_unknown_signature": (prediction.Regress, plan_regression("s")),
        "regress_by_classification": (prediction.Regress, plan_regression("classify")),
        "infer_nothing": (prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
        "infer_twice": (prediction.MultiInference, plan_tasks(("regress", "regress"), ("regress", "regress"))),
        "infer_prediction": (prediction.MultiInference, plan_tasks(("regress", "predict"))),
        "infer_unknown_signature": (prediction.MultiInference, plan_tasks(("s", "regress"))),
        "infer_two_models": (prediction.MultiInference, other_model),
    }
    requests["classify_no_examples"][1].input.Clear()
    for name, (method, request) in requests.items():
        yield name, ask(method, request)


def ask_to_reload(prediction: Any, model: Any, late_model: str) -> Iterator[tuple[str, Any]]:
    """Other lists of models, while m is asked all the time."""
    reload = model.HandleReloadConfigRequest
    yield "reload_nothing", ask(reload, model_management_pb2.ReloadConfigRequest())
    stop, failures, count = threading.Event(), [], [0]

    def ask_on() -> None:
        while not stop.is_set():
            answer = ask(prediction.Predict, plan_request([[1.0]]))
            count[0] += 1
            if "response" not in answer:
                failures.append(answer)

    asking = threading.Thread(target=ask_on)
    asking.start()
    own = model_management_pb2.ReloadConfigRequest()
    for name in ("m", "examples"):
        base_path = f"{late_model}/../{name}"
        own.config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    more = model_management_pb2.ReloadConfigRequest()
    more.CopyFrom(own)
    more.config.model_config_list.config.add(name="late", base_path=late_model, model_platform="tensorflow")
    wrong = model_management_pb2.ReloadConfigRequest()
    wrong.CopyFrom(own)
    wrong.config.model_config_list.config[0].version_labels["stable"] = 99
    missing = model_management_pb2.ReloadConfigRequest()
    missing.CopyFrom(own)
    missing.config.model_config_list.config.add(name="x", base_path=f"{late_model}/none", model_platform="tensorflow")
    for name, request in (("more", more), ("label", wrong), ("missing", missing), ("own", own)):
        answer = ask(reload, request)
        if "response" in answer:
            answer = {"error_code": answer["response"].status.error_code}
        yield f"reload_{name}", answer
        late = ask(prediction.Predict, plan_request([[1.0]], name="late"))
        yield f"late_after_{name}", "response" in late or late["details"]
    stop.set()
    asking.join()
    yield "asked_meanwhile", [count[0] > 0, failures]


def ask_over_other_channels(plan: Any) -> Iterator[tuple[str, Any]]:
    """The same prediction over the UNIX socket, and over TLS with and without a certificate of the client's own."""
    with grpc.insecure_channel(f"unix:{plan['socket']}") as channel:
        yield "over_unix_socket", ask_value(channel)
    for name in ("tls", "mutual_tls"):
        settings = plan[name]
        root = Path(settings["root"]).read_bytes()
        pair = [Path(settings[part]).read_bytes() for part in ("key", "certificate") if part in settings]
        with grpc.secure_channel(settings["address"], grpc.ssl_channel_credentials(root, *pair)) as channel:
            yield f"over_{name}", ask_value(channel)
        with grpc.secure_channel(settings["address"], grpc.ssl_channel_credentials(root)) as channel:
            yield f"over_{name}_without_certificate", ask_value(channel)
        with grpc.insecure_channel(settings["address"]) as channel:
            yield f"over_{name}_in_the_clear", ask_value(channel)


def ask_value(channel: grpc.Channel) -> Any:
    """One number, or the code of the refusal."""
    answer = ask(prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict, plan_request([[1.0]]))
    return answer.get("code") or tf.make_ndarray(answer["response"].outputs["y"]).tolist()


if __name__ == "__main__":
    main()
