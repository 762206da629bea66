"""What is in the images, and that they run as Kubernetes' strictest policy wants it."""

import hashlib
import json
import mmap
import os
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest
from loopback import free_ports

from images.build_secrets import INDEX_VARIABLES, MARKER, certificate_bundle
from images.building import archive_path, push_images
from images.container import run_to_end, running
from images.loopback_registry import loopback_registry
from images.sources import ROOT, TARGETS
from model_artifact.inspection import inspect
from model_artifact.packing import pack

USER = 65532
VENV = "/opt/modelpress/venv"
PYTHON = f"{VENV}/bin/python"
CRD = ROOT / "crds" / "compressedmodels.yaml"
HALF_PLUS_TWO = ROOT / "model_server" / "tests" / "data" / "half_plus_two"
CONTENTS = {"operator": b"model_operator/", "builder": b"model_builder/", "server": b"exec tensorflow_model_server"}
TITLES = {"operator": "Modelpress operator", "builder": "Modelpress builder", "server": "Modelpress model server"}


def own_folder(path):
    path.mkdir()
    os.chown(path, USER, USER)
    return path


@pytest.mark.parametrize("target", TARGETS)
def test_config_says_user_labels_and_environment(target, archives, image_names):
    archive = archives[target]
    assert archive.names == (image_names[target],)
    config = archive.config["config"]
    assert config["User"] == "65532:65532"
    assert config["Labels"]["org.opencontainers.image.title"] == TITLES[target]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert {"HOME=/tmp", "TMPDIR=/tmp", "PYTHONDONTWRITEBYTECODE=1"} <= set(config["Env"])
    (path,) = (item.removeprefix("PATH=").split(":") for item in config["Env"] if item.startswith("PATH="))
    assert path[0] == f"{VENV}/bin"
    assert "/usr/bin" in path


def test_server_config_is_that_of_tensorflow_serving(archives):
    config = archives["server"].config["config"]
    assert config["Entrypoint"] == ["/usr/bin/tf_serving_entrypoint.sh"]
    assert {"MODEL_BASE_PATH=/models", "MODEL_NAME=model"} <= set(config["Env"])
    assert set(config["ExposedPorts"]) == {"8500/tcp", "8501/tcp"}


def test_builder_config_runs_the_builder(archives):
    assert archives["builder"].config["config"]["Entrypoint"] == [f"{VENV}/bin/model-builder"]


@pytest.mark.parametrize(("target", "most"), [("operator", 110), ("builder", 1600), ("server", 150)])
def test_images_stay_small_and_our_code_is_a_layer_of_its_own(target, most, archives):
    # Below: the base, and files of a few kilobytes. The rest are the dependencies and, last, our code.
    *_, dependencies, code = archives[target].layer_bytes
    assert code < 3e6
    assert code < dependencies < most * 1e6


def needles():
    """What this machine must not have left in an image."""
    bundle = certificate_bundle(os.environ)
    own = bundle.read_text().split("-----BEGIN CERTIFICATE-----")[1:] if bundle.is_file() else []
    return {
        "the first line of each build secret": MARKER,
        # with a folder of it, since a checkout may lie where any file could be, such as /src
        "a path in the repository": str(ROOT / "model_artifact"),
        **{name: os.environ[name] for name in INDEX_VARIABLES if os.environ.get(name)},
        **{f"certificate {index}": text.strip() for index, text in enumerate(own)},
    }


@pytest.fixture(scope="module")
def public_certificates(server_root):
    """The bundle that Debian's package or the base image holds."""
    return (server_root.path / "etc" / "ssl" / "certs" / "ca-certificates.crt").read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_no_layer_and_no_config_holds_anything_of_this_machine(target, image_names, public_certificates):
    assert image_names[target]
    with archive_path(target).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # The layers are not compressed: what is searched for is found where it is.
        assert data.find(CONTENTS[target]) > 0
        secret = {name: text for name, text in needles().items() if text not in public_certificates}
        assert "the first line of each build secret" in secret
        assert [name for name, text in secret.items() if data.find(text.encode()) >= 0] == []


@pytest.mark.parametrize("target", TARGETS)
def test_byte_code_is_that_of_its_source_and_readable_by_anyone(target, request):
    root = request.getfixturevalue(f"{target}_root").path
    package = next((root / VENV.lstrip("/") / "lib").glob("python3*")) / "site-packages" / f"model_{target}"
    sources = sorted(package.glob("*.py"))
    assert len(sources) > 5
    for source in sources:
        (compiled,) = (package / "__pycache__").glob(f"{source.stem}.*.pyc")
        header = compiled.read_bytes()[:16]
        assert int.from_bytes(header[4:8], "little") == 0, "validated by time"
        assert int.from_bytes(header[8:12], "little") == int(source.stat().st_mtime)
        assert compiled.stat().st_mode & 0o004


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_compiled_at_a_start(target, request, tmp_path):
    root = request.getfixturevalue(f"{target}_root")
    script = f"import http.server, typing, ssl, model_artifact, model_{target}"
    done = run_to_end(root.bundle(tmp_path, ["-v", "-c", script], {}, entrypoint=[PYTHON]))
    assert done.returncode == 0, done.stderr
    loaded = [line for line in done.stderr.splitlines() if line.startswith("# code object from")]
    assert any("typing" in line for line in loaded)
    assert [line for line in loaded if not line.endswith(".pyc'")] == []


def test_every_file_of_the_server_is_owned_by_root_and_written_by_nobody_else(server_root):
    loose = [
        path
        for path in (server_root.path / "opt").rglob("*")
        if not path.is_symlink() and (path.lstat().st_uid != 0 or path.lstat().st_mode & 0o022)
    ]
    assert loose == []


def test_server_image_has_what_it_needs_and_no_tensorflow(server_root, tmp_path):
    check = (
        "import importlib.util as u, json, sys, model_server.server, model_artifact.packing, tflite;"
        "print(json.dumps({'found': [m for m in ('tensorflow', 'keras', 'sklearn', 'pip', 'pytest') if u.find_spec(m)],"
        "'prefix': sys.prefix, 'base': sys.base_prefix}))"
    )
    done = run_to_end(server_root.bundle(tmp_path, ["-c", check], {}, entrypoint=[PYTHON]))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"found": [], "prefix": VENV, "base": "/usr"} | (
        {"base": "/usr/local"} if (server_root.path / "usr/local/bin/python3").exists() else {}
    )


def test_operator_image_has_what_it_needs_and_no_numpy(operator_root, tmp_path):
    check = (
        "import importlib.util as u, json, model_operator.__main__;"
        "print(json.dumps([m for m in ('tensorflow', 'numpy', 'pandas', 'pip', 'pytest') if u.find_spec(m)]))"
    )
    done = run_to_end(operator_root.bundle(tmp_path, ["-W", "error", "-c", check], {}, entrypoint=[PYTHON]))
    assert (done.returncode, done.stderr, json.loads(done.stdout)) == (0, "", [])


def test_the_operator_image_traces_where_it_is_asked_to(operator_root, tmp_path):
    check = (
        "import os; os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = 'http://127.0.0.1:1';"
        "from model_operator import tracing; print(tracing.start_tracing('1'), flush=True); os._exit(0)"
    )
    done = run_to_end(operator_root.bundle(tmp_path, ["-W", "error", "-c", check], {}, entrypoint=[PYTHON]))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\n")


def test_the_operator_image_says_what_it_lacks(operator_root, tmp_path):
    done = run_to_end(operator_root.bundle(tmp_path, [], {}))
    assert done.returncode == 3
    assert done.stderr.startswith("modelpress-operator: there is neither a service account nor a kubeconfig")


def test_the_operator_image_serves_a_cluster_and_ends_by_sigterm(operator_root, api_server, tmp_path):
    api_server.apply_crd(CRD.read_text())
    folder = own_folder(tmp_path / "config")
    flat = api_server.kubectl("config", "view", "--flatten", "--minify", "--raw").stdout
    (folder / "kubeconfig").write_text(flat)
    health, metrics = free_ports(2)
    settings = [f"MODELPRESS_HEALTH_PORT={health}", f"MODELPRESS_METRICS_PORT={metrics}"]
    entrypoint = ["/usr/bin/env", "KUBECONFIG=/config/kubeconfig", *settings, *operator_root.config["Entrypoint"]]
    log = tmp_path / "operator.log"
    bundle = operator_root.bundle(
        tmp_path / "run", ["--listen", "127.0.0.1"], {"/config": folder}, entrypoint=entrypoint
    )
    with running(bundle, log) as process:
        wait_until_ready(health, process, log)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, log.read_text()


def test_containers_run_without_rights_on_a_read_only_root(server_root, tmp_path):
    script = "id -u; id -g; grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status; touch /x; touch /tmp/x && echo ok"
    done = run_to_end(server_root.bundle(tmp_path, ["-c", script], {}, entrypoint=["/bin/sh"]))
    assert done.stdout.split() == ["65532", "65532", "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "ok"]
    assert "Read-only file system" in done.stderr


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=5) as response:
        return json.loads(response.read() or b"null")


def wait_until_ready(port, process, log, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
                assert response.status == 200
                return
        except urllib.error.HTTPError as error:
            seen = error.code
            error.close()
        except OSError as error:
            seen = error
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"after {seconds} s still {seen!r}\n{log.read_text()}"
        time.sleep(0.1)


def test_the_server_image_unpacks_an_artifact_serves_it_and_ends_by_sigterm(server_root, tmp_path):
    artifacts, models = own_folder(tmp_path / "artifacts"), own_folder(tmp_path / "models")
    pack(HALF_PLUS_TWO, artifacts / "half.zip")
    digest = inspect(artifacts / "half.zip").digest
    volumes = {"/artifacts": artifacts, "/models": models}

    unpack = ["unpack", "/artifacts/half.zip", "/models/model/7", "--digest", digest]
    done = run_to_end(server_root.bundle(tmp_path / "init", unpack, volumes, entrypoint=["model-artifact"]))
    assert (done.returncode, done.stdout.strip()) == (0, digest), done.stderr
    assert (models / "model" / "7").stat().st_uid == USER

    grpc_port, rest_port = free_ports(2)
    flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--bind_address=127.0.0.1"]
    log = tmp_path / "server.log"
    with running(server_root.bundle(tmp_path / "serve", flags, {"/models": models}), log) as process:
        wait_until_ready(rest_port, process, log)
        url = f"http://127.0.0.1:{rest_port}/v1/models/model"
        assert ask(f"{url}:predict", {"instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
        assert ask(url)["model_version_status"][0]["version"] == "7"
        with socket.create_connection(("127.0.0.1", grpc_port), timeout=5):
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, log.read_text()


def test_the_builder_image_trains_and_packs_the_same_artifact_format(builder_root, tmp_path):
    work = own_folder(tmp_path / "work")
    recipe = json.loads((ROOT / "examples" / "recipes" / "digits-a125-b8.json").read_text())
    recipe["training"]["epochs"] = 1
    (work / "recipe.json").write_text(json.dumps(recipe))
    command = ["build", "/work/recipe.json", "-o", "/work/digits"]
    done = run_to_end(builder_root.bundle(tmp_path / "build", command, {"/work": work}))
    assert done.returncode == 0, done.stderr
    artifact = work / "digits" / "artifact.zip"
    facts = inspect(artifact)
    assert done.stdout.split()[0] == facts.digest
    assert facts.manifest.content.provenance.quality.deployed > 10
    assert hashlib.sha256(artifact.read_bytes()).hexdigest() != facts.digest


def test_the_server_image_is_pushed_whole_under_its_tag(image_names):
    with loopback_registry() as registry:
        (reference,) = push_images(["server"], f"{registry.address}/team", lambda _: None)
        tag = image_names["server"].rpartition(":")[2]
        assert reference == f"{registry.address}/team/modelpress-server:{tag}"
        assert list(registry.manifests) == [f"team/modelpress-server:{tag}"]
        manifest = registry.manifests[f"team/modelpress-server:{tag}"]
        blobs = {each["digest"]: each["size"] for each in [manifest["config"], *manifest["layers"]]}
        assert registry.blob_bytes == blobs
