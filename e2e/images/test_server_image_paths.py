"""What a pod that was made for TensorFlow Serving's image finds in ours, under the same names."""

import os

from images.container import run_to_end
from images.sources import ROOT
from model_artifact.packing import pack

USER = 65532
DATA = ROOT / "model_server" / "tests" / "data"
BINARY = "/usr/bin/tensorflow_model_server"


def own_folder(path):
    path.mkdir()
    os.chown(path, USER, USER)
    return path


def test_the_binary_stands_at_its_path_and_says_its_versions(server_root, tmp_path):
    done = run_to_end(server_root.bundle(tmp_path, ["--version"], {}, entrypoint=[BINARY]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Modelpress model server: ")


def test_the_entrypoint_adds_arguments_behind_its_own(server_root, tmp_path):
    """The last of several wins, so that a pod's `args:` override what the entrypoint says."""
    done = run_to_end(server_root.bundle(tmp_path, ["--port=70000", "--rest_api_port=0"], {}))
    assert done.returncode == 255
    assert done.stderr.strip().splitlines()[-1].startswith("--port=70000 is no port")


def test_an_artifact_is_unpacked_into_the_one_writable_folder(server_root, tmp_path):
    """Started with a damaged artifact the server says so, from a read-only root."""
    artifacts = own_folder(tmp_path / "artifacts")
    pack(DATA / "half_plus_two", artifacts / "half.zip")
    content = (artifacts / "half.zip").read_bytes()
    (artifacts / "half.zip").write_bytes(content[: len(content) // 2])
    arguments = ["--model_base_path=/artifacts/half.zip"]
    done = run_to_end(server_root.bundle(tmp_path / "run", arguments, {"/artifacts": artifacts}))
    assert done.returncode == 255
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Failed to start server. Error: The artifact /artifacts/half.zip cannot be unpacked: ")
