"""TensorFlow Serving's own client library against our server, each in the environment that a user would have."""

import gzip
import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import requests
from first_answer import wait_for_answer
from loopback import free_ports

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "model_server/tests/data"
ENVIRONMENTS = {
    "client": "uv sync --locked --only-group client",
    "server": "uv sync --locked --no-default-groups --package modelpress-server",
}
DT_FLOAT = 1


def environment(name):
    """The environment's programs; where it is missing, the failure text says how to make it."""
    folder = ROOT / ".envs" / name
    if not (folder / "bin/python").exists():
        pytest.fail(f".envs/{name} is missing: run `UV_PROJECT_ENVIRONMENT=.envs/{name} {ENVIRONMENTS[name]}`.")
    return folder / "bin"


class Servers:
    """Server processes that have nothing but their own dependencies."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def start(self, *flags):
        """The gRPC port and the REST port of one more server, which answers."""
        grpc_port, rest_port = free_ports(2)
        log = self.folder / f"log-{len(self.processes)}"
        ports = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--bind_address=127.0.0.1"]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [environment("server") / "tensorflow_model_server", *ports, *flags], stdout=stream, stderr=stream
            )
        self.processes.append(process)
        wait_for_answer(process, f"http://127.0.0.1:{rest_port}/v1/models/m/metadata", log)
        return grpc_port, rest_port

    def stop(self):
        """End them all with SIGTERM; the exit codes."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        return [process.wait(20) for process in self.processes]


def write_certificate(folder, name):
    """A key and a certificate that vouches for itself."""
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *curve, *files, *names], check=True, capture_output=True)


def write_ssl_config(folder, name, **parts):
    """The flag for an SSLConfig with the files' contents."""
    lines = [f"{part}: {json.dumps(path.read_text())}" for part, path in parts.items()]
    (folder / name).write_text("\n".join([*lines, f"client_verify: {'true' if 'custom_ca' in parts else 'false'}"]))
    return f"--ssl_config_file={folder / name}"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Running servers, and what the client must know of them."""
    folder = tmp_path_factory.mktemp("wire")
    for version in (6, 7):
        shutil.copytree(DATA / "half_plus_two", folder / f"m/{version}")
    shutil.copytree(DATA / "examples", folder / "examples/3")
    shutil.copytree(DATA / "half_plus_two", folder / "late/1")
    (folder / "models.txt").write_text(
        f"""model_config_list {{
          config {{
            name: "m" base_path: "{folder}/m" model_platform: "tensorflow"
            model_version_policy {{ specific {{ versions: 6 versions: 7 }} }}
            version_labels {{ key: "stable" value: 6 }} version_labels {{ key: "canary" value: 7 }}
          }}
          config {{ name: "examples" base_path: "{folder}/examples" model_platform: "tensorflow" }}
        }}"""
    )
    for name in ("server", "client"):
        write_certificate(folder, name)
    pair = {"server_key": folder / "server.key", "server_cert": folder / "server.crt"}
    single = ["--model_name=m", f"--model_base_path={folder}/m"]
    servers = Servers(folder)
    try:
        port, rest_port = servers.start(
            f"--model_config_file={folder}/models.txt", f"--grpc_socket_path={folder}/socket"
        )
        tls, _ = servers.start(*single, write_ssl_config(folder, "tls.txt", **pair))
        mutual, _ = servers.start(*single, write_ssl_config(folder, "m.txt", **pair, custom_ca=folder / "client.crt"))
        root = str(folder / "server.crt")
        own = {"key": str(folder / "client.key"), "certificate": str(folder / "client.crt")}
        yield {
            "address": f"127.0.0.1:{port}",
            "rest": f"http://127.0.0.1:{rest_port}/v1/models",
            "socket": str(folder / "socket"),
            "late_model": str(folder / "late"),
            "tls": {"address": f"localhost:{tls}", "root": root},
            "mutual_tls": {"address": f"localhost:{mutual}", "root": root, **own},
        }
        assert servers.stop() == [0, 0, 0]
    finally:
        for process in servers.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def answers(plan):
    """What the client printed."""
    result = subprocess.run(
        [environment("client") / "python", Path(__file__).with_name("client.py"), json.dumps(plan)],
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
        ("unknown_label", "INVALID_ARGUMENT", "Unrecognized servable version label: other"),
        ("label_of_unknown_model", "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
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
        ("status_without_name", "NOT_FOUND", "Could not find any versions of model "),
        ("status_without_spec", "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("classify_nothing", "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("classify_no_examples", "INVALID_ARGUMENT", "Input is empty."),
        ("classify_unknown_signature", "INVALID_ARGUMENT", "No signature was found with the name: s"),
        (
            "classify_without_feature",
            "INVALID_ARGUMENT",
            "Name: <unknown>, Feature: x (data type: float) is required but could not be found.",
        ),
        (
            "classify_other_type",
            "INVALID_ARGUMENT",
            "Name: <unknown>, Key: x, Index: 0.  Data types don't match. Data type: int64 but expected type: float",
        ),
        (
            "classify_other_length",
            "INVALID_ARGUMENT",
            (
                "Name: <unknown>, Key: x, Index: 0.  "
                "Number of float values != expected.  Values size: 1 but output shape: [2]"
            ),
        ),
        ("regress_unknown_signature", "INVALID_ARGUMENT", "No signature was found with the name: s"),
        ("infer_nothing", "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ("infer_twice", "INVALID_ARGUMENT", "Duplicate evaluation of signature: regress"),
        ("infer_prediction", "UNIMPLEMENTED", "Unsupported signature method_name: tensorflow/serving/predict"),
        ("infer_unknown_signature", "INVALID_ARGUMENT", "Requested signature not found in model graph: s"),
        (
            "infer_two_models",
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            "reload_nothing",
            "INVALID_ARGUMENT",
            (
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently"
                " supported"
            ),
        ),
        (
            "reload_label",
            "FAILED_PRECONDITION",
            "Request to assign label to version 99 of model m, which is not currently available for inference",
        ),
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
    # TensorFlow 2 writes the last one into every SavedModel, and TensorFlow Serving tells all that is written there.
    nothing = {"inputs": {}, "outputs": ["__saved_model_init_op"], "method_name": ""}
    assert answers["metadata"] == {"serving_default": expected, "triple": expected, "__saved_model_init_op": nothing}


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("classify_by_regression", 'Expected classification signature outputs to contain at least one of "classes" or'),
        ("classify_by_prediction", "No classification inputs found in SignatureDef: inputs {"),
        ("regress_by_classification", "No regression outputs found in SignatureDef: inputs {"),
    ],
)
def test_signature_for_something_else_is_shown(answers, name, start):
    assert answers[name]["code"] == "INVALID_ARGUMENT"
    assert answers[name]["details"].startswith(start)


def test_status_is_available(answers):
    assert answers["status"] == [[7, "AVAILABLE", 0, ""], [6, "AVAILABLE", 0, ""]]


def test_label_stands_for_its_version(answers):
    assert answers["own_label"]["model_spec"] == ["m", 6, "serving_default"]


def test_examples_are_classified_and_regressed(answers):
    spec = ["examples", 3]
    classes = [[["", 0.5], ["", 1.0]], [["", -2.0], ["", 0.25]]]
    assert answers["classify"] == [[*spec, "classify"], classes]
    assert answers["regress"] == [[*spec, "regress"], [3.0, -3.5]]
    assert answers["regress_with_context"] == [13.0, 21.0]
    assert answers["predict_of_examples"] == [[3.0], [-3.5]]
    assert answers["multi_inference"] == [[[*spec, "classify"], classes[:1]], [[*spec, "regress"], [3.0]]]


def test_models_are_replaced_without_a_failed_request(answers):
    assert answers["asked_meanwhile"] == [True, []]
    assert answers["reload_more"] == {"error_code": 0}
    assert (answers["late_after_more"], answers["late_after_label"]) == (True, True)
    assert answers["reload_missing"]["code"] == "UNKNOWN"
    assert answers["reload_missing"]["details"].startswith("1 model(s) did not become available: {x: ")
    assert answers["reload_own"] == {"error_code": 0}
    assert answers["late_after_own"] == "Servable not found for request: Latest(late)"


def test_every_channel_answers_those_who_may_ask(answers):
    assert answers["over_unix_socket"] == answers["over_tls"] == answers["over_mutual_tls"] == [[2.5]]
    assert answers["over_tls_without_certificate"] == [[2.5]]
    refused = {name: answers[f"over_{name}"] for name in ("tls_in_the_clear", "mutual_tls_in_the_clear")}
    assert refused == dict.fromkeys(refused, "UNAVAILABLE")
    assert answers["over_mutual_tls_without_certificate"] == "UNAVAILABLE"


def test_an_http_client_sees_plain_answers_whatever_travels(plan):
    """It asks for gzip by itself and unpacks it by itself; here it also sends gzip, and numbers that are no JSON."""
    url = f"{plan['rest']}/m:predict"
    with requests.Session() as session:
        assert session.post(url, json={"instances": [1.0, 2.0]}, timeout=20).json() == {"predictions": [2.5, 3.0]}
        numbers = [[float(number)] for number in range(3000)]
        body = gzip.compress(json.dumps({"inputs": numbers}).encode())
        answer = session.post(url, data=body, headers={"Content-Encoding": "gzip"}, timeout=20)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.json() == {"outputs": [[0.5 * number + 2] for (number,) in numbers]}
        # LiteRT's additions end at the largest float, so that only NaN comes back as it went.
        answer = session.post(url, data='{"instances": [NaN, Infinity, -Infinity, Inf]}', timeout=20)
        largest = "3.40282347e+38"
        assert answer.text.split() == [
            "{",
            '"predictions":',
            "[NaN,",
            f"{largest},",
            f"-{largest},",
            f"{largest}]",
            "}",
        ]
        examples = {"signature_name": "regress", "examples": [{"x": [1.5, 2]}]}
        refused = session.post(f"{plan['rest']}/examples:regress", json=examples, timeout=20)
        assert (refused.status_code, refused.headers["content-type"]) == (400, "application/json")
        assert refused.json() == {"error": "Unexpected element type in feature: x expecting type: float"}
        examples["examples"][0]["x"][1] = 2.0
        regressed = session.post(f"{plan['rest']}/examples:regress", json=examples, timeout=20)
        assert regressed.json() == {"results": [3.5]}


def test_server_environment_has_no_tensorflow():
    listing = subprocess.run(
        [environment("server") / "python", "-c", "import importlib.util as u; print(u.find_spec('tensorflow'))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert listing.stdout == "None\n"
