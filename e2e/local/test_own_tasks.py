"""A network and data of one's own that learn numbers, or classes of pixels: built, judged, reported and served."""

import json
import os
import re
import runpy
import urllib.error
import urllib.request
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from local_servers import ROOT, Server

from model_artifact.inspection import inspect
from model_artifact.unpacking import unpack
from model_builder.__main__ import main
from model_server._protos.tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

TASKS = ("regression", "segmentation")
# Keras 3.15 saves variables by a call that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", params=TASKS)
def built(request, tmp_path_factory):
    """The example of a task as its own commands make it: folder, provenance, what the build told, and the data."""
    folder = tmp_path_factory.mktemp(request.param)
    write_example = runpy.run_path(str(ROOT / "examples" / "own_data.py"))["write_example"]
    recipe = write_example(request.param, folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MODELPRESS_DATA", str(folder))
        assert main(["build", str(recipe), "-o", str(folder / "out")]) == 0
        artifact = folder / "out" / "artifact.zip"
        unpack(artifact, folder / "served" / "1", digest=inspect(artifact).digest)
        (npz,) = folder.glob("*.npz")
        with np.load(npz) as data:
            arrays = dict(data)
        yield SimpleNamespace(
            task=request.param,
            folder=folder,
            made=inspect(artifact).manifest.content.provenance,
            told=[json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()],
            arrays=arrays,
        )


@pytest.fixture(scope="module")
def server(built, tmp_path_factory):
    core = max(os.sched_getaffinity(0))
    with Server(built.task, built.folder / "served", core, tmp_path_factory.mktemp("logs") / "log") as running:
        yield running
    assert running.process.returncode == 0


def test_it_learns_far_more_than_the_trivial_answer(built):
    quality, wanted = built.made.quality, built.arrays["y_test"]
    assert built.made.trained
    if built.task == "regression":
        trivial = float(np.mean(np.abs(wanted - np.median(wanted))))
        assert (quality.metric, quality.unit) == ("MAE", "targets")
        assert quality.deployed < trivial / 5
        assert quality.float_model == pytest.approx(quality.deployed, abs=trivial / 50)
        assert (quality.confusion, quality.class_names, quality.agreement_percent) == (None, None, None)
        assert quality.measures.keys() == {"MAE", "MSE"}
    else:
        assert (quality.metric, quality.unit) == ("MeanIoU", "percent")
        assert quality.deployed > 90  # all ground: a third of the ground's share
        assert quality.float_model == pytest.approx(quality.deployed, abs=1)
        assert quality.class_names == ("background", "light", "dark")
        assert np.sum(quality.confusion) == wanted.size
        assert quality.agreement_percent > 99
        assert quality.measures.keys() == {"Accuracy", "F1", "MeanIoU"}
    first, last = built.made.curve[0], built.made.curve[-1]
    assert (last.accuracy_percent, last.test_accuracy_percent) == (None, None)
    assert (last.test_metric_value < first.test_metric_value) == (built.task == "regression")


def test_the_build_tells_the_metric_and_not_accuracy(built):
    done = [line for line in built.told if " done: " in line["message"]]
    assert len(done) == len(built.made.curve)
    number = r"MAE 0\.\d+, test 0\.\d+" if built.task == "regression" else r"MeanIoU \d+\.\d\d %, test \d+\.\d\d %"
    for line, entry in zip(done, built.made.curve, strict=True):
        assert re.search(rf" done: loss \d\.\d{{4}}, {number}, zeros \d", line["message"])
        assert line["metric"] == built.made.quality.metric
        assert line["metricValue"] == pytest.approx(entry.metric_value, rel=1e-4)
        assert line["testMetricValue"] == pytest.approx(entry.test_metric_value, rel=1e-4)
    assert not any("accuracy" in json.dumps(line) for line in built.told)


def test_the_example_is_the_one_in_the_folder_of_recipes(built):
    stated = (built.folder / "recipe.yaml").read_text().splitlines()
    (example,) = (ROOT / "examples" / "recipes").glob(f"*-{built.task}-*.yaml")
    changed = [line for line, same in zip(stated, example.read_text().splitlines(), strict=True) if line != same]
    assert len(changed) == 2
    assert all("digest: " in line for line in changed)


def test_evaluate_judges_by_what_the_task_is_judged_by(built, capsys):
    artifact = str(built.folder / "out")
    assert main(["evaluate", artifact, "--json"]) == 0
    quality = json.loads(capsys.readouterr().out)["quality"]
    assert quality == json.loads(built.made.quality.model_dump_json(by_alias=True))
    other = "MSE" if built.task == "regression" else "F1"
    assert main(["evaluate", artifact, "--metric", other]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{other} ")
    assert ("worst class: " in printed) == (built.task == "segmentation")
    assert main(["evaluate", artifact, "--metric", "AUC"]) == 2
    assert f"AUC does not judge {built.task.title()}; choose one of " in capsys.readouterr().err


def test_the_report_draws_the_metric(built):
    assert main(["report", str(built.folder / "out"), "-o", str(built.folder / "report")]) == 0
    page = (built.folder / "report" / "report.html").read_text()
    assert ("<h3>Confusion</h3>" in page) == (built.task == "segmentation")
    assert ("MAE 0.0" if built.task == "regression" else "MeanIoU 9") in page
    names = {path.name.removeprefix("out-") for path in (built.folder / "report").glob("out-*.png")}
    confusion = {"confusion.png"} if built.task == "segmentation" else set()
    assert names == {"curves.png", "layers.png", "weights.png"} | confusion


def test_golden_answers_are_few_and_their_tolerance_fits_the_answer(built):
    golden = built.folder / "served" / "1" / "assets.extra" / "golden"
    document = json.loads((golden / "golden.json").read_text())
    answers = np.load(golden / "outputs.npy")
    assert document["tolerance"] == built.made.golden.tolerance
    assert len(answers) == built.made.golden.samples == 8
    if built.task == "regression":
        assert document["output"] == "values"
        assert answers.shape == (8, 1)
        assert 0.05 < document["tolerance"] < 0.15  # of answers from -1 to 1
    else:
        assert (document["output"], document["tolerance"]) == ("probabilities", 0.25)
        assert answers.shape == (8, 16 * 16 * 3)


def ask(server, path, document):
    """Status and parsed answer of one request over REST."""
    url = f"http://{server.host}:{server.rest_port}/v1/models/{server.name}:{path}"
    request = urllib.request.Request(url, json.dumps(document).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(f"{server.host}:{server.grpc_port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_predict_answers_over_both_wires_as_the_model_was_judged(built, server, stub):
    images, wanted = built.arrays["x_test"][:20], built.arrays["y_test"][:20]
    status, answer = ask(server, "predict", {"instances": images.tolist()})
    assert status == 200
    rest = np.array(answer["predictions"], np.float32)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = server.name
    tensor = request.inputs["image"]
    tensor.dtype, tensor.tensor_content = 1, images.astype(np.float32).tobytes()
    for size in images.shape:
        tensor.tensor_shape.dim.add(size=size)
    (name, output) = next(iter(stub.Predict(request, timeout=30).outputs.items()))
    shape = [dim.size for dim in output.tensor_shape.dim]
    np.testing.assert_allclose(np.reshape(output.float_val, shape), rest, atol=1e-6)
    if built.task == "regression":
        assert (name, shape) == ("values", [20, 1])
        assert np.mean(np.abs(rest[:, 0] - wanted)) < 0.1
    else:
        assert (name, shape) == ("probabilities", [20, 16, 16, 3])
        assert np.mean(rest.argmax(-1) == wanted) > 0.97


def make_example(image):
    return {"image": image.astype(float).ravel().tolist()}


def test_regress_answers_one_number_for_each_example_and_only_where_numbers_are_learnt(built, server, stub):
    images = built.arrays["x_test"][:3]
    body = {"signature_name": "regress", "examples": [make_example(image) for image in images]}
    status, answer = ask(server, "regress", body)
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = server.name, "regress"
    for image in images:
        example = request.input.example_list.examples.add()
        example.features.feature["image"].float_list.value.extend(image.astype(float).ravel())
    if built.task == "segmentation":
        assert (status, answer) == (400, {"error": "No signature was found with the name: regress"})
        with pytest.raises(grpc.RpcError) as refused:
            stub.Regress(request, timeout=30)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        return
    expected = np.ravel(ask(server, "predict", {"instances": images.tolist()})[1]["predictions"])
    assert status == 200
    np.testing.assert_allclose(answer["results"], expected, atol=1e-6)
    found = [each.value for each in stub.Regress(request, timeout=30).result.regressions]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_classify_is_refused_with_a_sentence(built, server, stub):
    body = {"examples": [make_example(built.arrays["x_test"][0])]}
    status, answer = ask(server, "classify", body)
    assert status == 400
    assert answer["error"].startswith("No classification inputs found in SignatureDef: ")
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = server.name
    request.input.example_list.examples.add()
    with pytest.raises(grpc.RpcError) as refused:
        stub.Classify(request, timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "No classification inputs found in SignatureDef: " in refused.value.details()


def test_the_metadata_tell_the_signatures(built, server, stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = server.name
    found = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(request, timeout=30).metadata["signature_def"].Unpack(found)
    expected = {"serving_default", "regress"} if built.task == "regression" else {"serving_default"}
    assert {name for name in found.signature_def if not name.startswith("__")} == expected
