"""Lists of models: the file, labels, warm-up, artifacts, and what REST says about them."""

import gzip
import http.client
import json
import shutil
import threading

import pytest

from model_artifact.packing import pack


@pytest.fixture
def write_models(tmp_path):
    """Write the model config file; the answer is its flag."""
    file = tmp_path / "models.txt"

    def write(*entries):
        texts = (
            f'config {{ name: "{name}" base_path: "{tmp_path}/models/{name}" model_platform: "tensorflow" {more} }}'
            for name, more in entries
        )
        incoming = file.with_suffix(".new")
        incoming.write_text(f"model_config_list {{ {' '.join(texts)} }}")
        incoming.rename(file)
        return f"--model_config_file={file}"

    return write


def label(name, version):
    return f'version_labels {{ key: "{name}" value: {version} }}'


def test_labels_and_several_models_over_rest(start_server, add_version, write_models):
    for version in (1, 2):
        add_version("half_plus_two", version)
    add_version("two_by_two", 5, "n")
    flag = write_models(("m", f"model_version_policy {{ all {{}} }} {label('stable', 1)}"), ("n", ""))
    server = start_server(flag)
    assert server.predict({"instances": [2]}, "/v1/models/m/labels/stable:predict") == (200, {"predictions": [3.0]})
    metadata = json.loads(server.http("/v1/models/m/labels/stable/metadata")[1])
    assert metadata["model_spec"]["version"] == "1"
    assert json.loads(server.http("/v1/models/m/metadata")[1])["model_spec"]["version"] == "2"
    assert json.loads(server.http("/v1/models/n/metadata")[1])["model_spec"]["version"] == "5"
    unknown = server.predict({"instances": [2]}, "/v1/models/m/labels/other:predict")
    assert unknown == (400, {"error": "Unrecognized servable version label: other"})


def test_changed_file_is_served_without_a_failed_request(start_server, add_version, write_models, wait_until):
    for version in (1, 2):
        add_version("half_plus_two", version)
    add_version("half_plus_two", 1, "n")
    only_one = f"model_version_policy {{ specific {{ versions: 1 }} }} {label('stable', 1)}"
    flag = write_models(("m", only_one))
    server = start_server(flag, "--model_config_file_poll_wait_seconds=1")
    stop, answers = threading.Event(), []

    def ask():
        while not stop.is_set():
            answers.append(server.predict({"instances": [2]}, "/v1/models/m/labels/stable:predict"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait_until(lambda: len(answers) > 5)
        write_models(("m", label("stable", 2)), ("n", ""))
        wait_until(lambda: server.predict({"instances": [2]}, "/v1/models/n:predict")[0] == 200)
        wait_until(lambda: '"END"' in server.http("/v1/models/m/versions/1")[1])
        write_models(("m", label("stable", 2)))
        wait_until(lambda: server.predict({"instances": [2]}, "/v1/models/n:predict")[0] == 404)
    finally:
        stop.set()
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert json.loads(server.http("/v1/models/m/labels/stable/metadata")[1])["model_spec"]["version"] == "2"


def test_broken_file_changes_nothing(start_server, add_version, write_models, wait_until, tmp_path):
    add_version("half_plus_two", 1)
    server = start_server(write_models(("m", "")), "--model_config_file_poll_wait_seconds=1")
    (tmp_path / "models.txt").write_text("model_config_list {")
    wait_until(lambda: "reading the list of models again: Error parsing text-format" in server.log())
    assert server.predict({"instances": [2]}) == (200, {"predictions": [3.0]})


def test_file_that_does_not_parse_stops_the_start(start_server, tmp_path):
    (tmp_path / "models.txt").write_text("models {}")
    server = start_server(f"--model_config_file={tmp_path / 'models.txt'}", ready=False)
    assert server.wait_exit() == 255
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in server.log()


def test_examples_over_rest(start_server, add_version, monitoring_flag):
    add_version("examples", 4)
    server = start_server(monitoring_flag)
    two = [{"x": [1.0, 2.0]}, {"x": [-4.0, 0.5]}]
    classify, regress = "/v1/models/m:classify", "/v1/models/m/versions/4:Regress"
    assert server.predict({"signature_name": "classify", "examples": two}, classify) == (
        200,
        {"results": [[["", 0.5], ["", 1.0]], [["", -2.0], ["", 0.25]]]},
    )
    assert server.predict({"signature_name": "regress", "examples": two}, regress) == (200, {"results": [3.0, -3.5]})
    shared = {"signature_name": "regress_two", "context": {"x": [1.0, 2.0]}, "examples": [{"n": 10}]}
    assert server.predict(shared, regress) == (200, {"results": [13.0]})
    assert server.predict({"examples": two}, classify)[0] == 400
    assert server.predict({"signature_name": "s", "examples": two}, classify) == (
        400,
        {"error": "No signature was found with the name: s"},
    )
    lines = set(server.http("/metrics")[1].splitlines())
    latency = ":tensorflow:serving:request_latency_count"
    runtime = ":tensorflow:serving:runtime_latency_count"
    assert {
        f'{latency}{{model_name="m",API="classify",entrypoint="REST"}} 1',
        f'{latency}{{model_name="m",API="regress",entrypoint="REST"}} 2',
        # One more of each than over REST: the warm-up records.
        f'{runtime}{{model_name="m",API="Classify",runtime="TF1"}} 2',
        f'{runtime}{{model_name="m",API="Regress",runtime="TF1"}} 3',
        ':tensorflow:serving:request_example_count_total{model="m"} 5',
    } <= lines
    (warmed,) = [line for line in lines if line.startswith(":tensorflow:serving:model_warmup_records_read")]
    assert warmed.endswith('/models/m/4",status="OK"} 4')


def test_warmup_that_fails_keeps_the_version_from_serving(start_server, add_version):
    folder = add_version("examples", 1)
    (folder / "assets.extra/tf_serving_warmup_requests").write_bytes(b"no records")
    server = start_server(ready=False)
    assert server.wait_exit() == 255
    assert "Please verify your warmup data is in TFRecord format" in server.log()
    assert start_server("--enable_model_warmup=false").http("/readyz")[0] == 200


def test_requests_are_joined_into_batches(start_server, add_version, monitoring_flag, tmp_path):
    add_version("half_plus_two", 1)
    (tmp_path / "batching.txt").write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 20000 } num_batch_threads { value: 1 }"
        " allowed_batch_sizes: 4 allowed_batch_sizes: 8"
    )
    file = f"--batching_parameters_file={tmp_path / 'batching.txt'}"
    server = start_server(monitoring_flag, "--enable_batching", file)
    answers = {}

    def ask(number):
        answers[number] = server.predict({"instances": [[number]]})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: (200, {"predictions": [[0.5 * number + 2]]}) for number in range(12)}
    values = dict(line.rsplit(" ", 1) for line in server.http("/metrics")[1].splitlines() if line[0] != "#")
    batching = ":tensorflow:serving:batching_session"
    assert float(values[f'{batching}:input_batch_size_sum{{model_name="m"}}']) == 12
    assert float(values[f'{batching}:processed_batch_size_sum{{model_name="m"}}']) % 4 == 0
    assert 0 < float(values[f"{batching}:wrapped_run_count{{}}"]) <= 12
    assert float(values[f'{batching}:queuing_latency_count{{thread_pool_name="model_server_batch_threads"}}']) == 12


def test_batching_file_without_batching_stops_the_start(start_server):
    server = start_server("--batching_parameters_file=x", ready=False)
    assert server.wait_exit() == 255
    assert "--batching_parameters_file is set without setting --enable_batching to true." in server.log()


def test_artifact_is_served_as_it_is(start_server, models, tmp_path):
    pack(models / "half_plus_two", tmp_path / "half.zip")
    shutil.copytree(models / "half_plus_two", tmp_path / "unpacked")
    for base_path in ("half.zip", "unpacked"):
        server = start_server(f"--model_base_path={tmp_path / base_path}")
        assert server.predict({"instances": [2]}, "/v1/models/m/versions/1:predict") == (200, {"predictions": [3.0]})


def test_replaced_artifact_takes_over_without_a_failed_request(start_server, models, tmp_path, wait_until):
    def put(model):
        pack(models / model, tmp_path / "incoming.zip")
        (tmp_path / "incoming.zip").rename(tmp_path / "m.zip")

    put("half_plus_two")
    server = start_server(f"--model_base_path={tmp_path / 'm.zip'}")
    stop, answers = threading.Event(), []

    def ask():
        while not stop.is_set():
            answers.append(server.http("/v1/models/m/versions/1/metadata"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait_until(lambda: len(answers) > 5)
        put("two_by_two")
        wait_until(lambda: '"n"' in answers[-1][1])
    finally:
        stop.set()
        thread.join()
    assert {status for status, _ in answers} == {200}
    states = json.loads(server.http("/v1/models/m")[1])["model_version_status"]
    assert [(state["version"], state["state"]) for state in states] == [("1", "AVAILABLE")]


def test_files_that_arrive_after_the_model_are_served_with_it(start_server, models, tmp_path, wait_until):
    """A copy that brings the model first and pauses."""
    folder = tmp_path / "models/m/1"
    folder.mkdir(parents=True)
    shutil.copy(models / "two_by_two/model.tflite", folder)
    server = start_server()
    named = server.http("/v1/models/m/metadata")[1]
    shutil.copy(models / "two_by_two/saved_model.pb", folder)
    whole = wait_until(lambda: (found := server.http("/v1/models/m/metadata")[1]) != named and found)
    assert json.loads(whole)["model_spec"]["version"] == "1"
    # It is told just after it answers.
    wait_until(lambda: server.log().count("m version 1 is AVAILABLE") == 2)


def test_artifact_that_is_none_stops_the_start(start_server, tmp_path):
    (tmp_path / "half.zip").write_bytes(b"no archive")
    server = start_server(f"--model_base_path={tmp_path / 'half.zip'}", ready=False)
    assert server.wait_exit() == 255
    last = server.log().strip().splitlines()[-1]
    assert last.startswith(f"Failed to start server. Error: The artifact {tmp_path / 'half.zip'} cannot be unpacked: ")


def test_long_answers_are_packed_for_those_who_take_it(start_server, add_version):
    add_version("half_plus_two", 1)
    server = start_server()
    body = json.dumps({"inputs": [[float(number)] for number in range(3000)]})
    answers = {}
    for coding in ("identity", "gzip"):
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=20)
        connection.request("POST", "/v1/models/m:predict", body, {"Accept-Encoding": coding})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        assert response.status == 200
        assert response.getheader("content-encoding") == (None if coding == "identity" else "gzip")
        assert response.getheader("content-type") == "application/json"
        answers[coding] = content
    assert gzip.decompress(answers["gzip"]) == answers["identity"]
    assert len(answers["gzip"]) < len(answers["identity"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            [
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
                "--tensorflow_session_parallelism=1",
            ],
            "Give either --tensorflow_session_parallelism or --tensorflow_intra_op_parallelism and",
        ),
        (["--use_alts_credentials"], "--use_alts_credentials=true works between services of Google's own cloud only"),
    ],
)
def test_flags_that_contradict_each_other_stop_the_start(start_server, flags, message):
    server = start_server(*flags, ready=False)
    assert server.wait_exit() == 255
    assert server.log().strip().splitlines()[-1].startswith(message)
