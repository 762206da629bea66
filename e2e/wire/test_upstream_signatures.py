"""The upstream `model_signing` against our signatures, and ours against its, each as a command of its own."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from model_artifact.packing import pack
from model_artifact.unpacking import unpack

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "model_server/tests/data/half_plus_two"
UPSTREAM = ROOT / ".envs" / "signing" / "bin" / "model_signing"
CURVES = {"P-256": "prime256v1", "P-384": "secp384r1"}


def run(*command):
    """Exit code, and all that was said."""
    ended = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout + ended.stderr


def ours(*arguments):
    """What `model-artifact` says."""
    return run(sys.executable, "-m", "model_artifact", *arguments)


def upstream(*arguments):
    """What upstream's `model_signing` says; where it is missing, the failure text says how to get it."""
    if not UPSTREAM.exists():
        pytest.fail(f"{UPSTREAM} is missing: run `UV_PROJECT_ENVIRONMENT=.envs/signing uv sync --only-group signing`.")
    return run(UPSTREAM, *arguments)


def make_keys(folder, curve):
    """Both halves, by the commands of docs/signing.md."""
    private, public = folder / "signing.pem", folder / "signing.pub"
    making = ["genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{CURVES[curve]}", "-out", private]
    for command in (making, ["pkey", "-in", private, "-pubout", "-out", public]):
        code, said = run("openssl", *command)
        assert code == 0, said
    return private, public


@pytest.fixture
def artifact(tmp_path):
    """An artifact, and beside it the version folder that it unpacks to."""
    assert pack(MODEL, tmp_path / "a.zip").digest == unpack(tmp_path / "a.zip", tmp_path / "1").digest
    return tmp_path / "a.zip"


@pytest.mark.parametrize("curve", CURVES)
def test_upstream_takes_the_unpacked_folder_by_our_signature_and_refuses_it_altered(curve, artifact):
    private, public = make_keys(artifact.parent, curve)
    folder, signature = artifact.parent / "1", Path(f"{artifact}.sig")
    assert ours("sign", artifact, "--key", private)[0] == 0
    command = ["verify", "key", folder, "--signature", signature, "--public_key", public]
    assert upstream(*command) == (0, "Verification succeeded\n")
    (folder / "more").touch()
    code, said = upstream(*command)
    assert (code, "Extra files found in model '1': more" in said) == (1, True), said


@pytest.mark.parametrize("curve", CURVES)
def test_we_take_folder_and_artifact_by_upstreams_signature_and_refuse_them_altered(curve, artifact):
    private, public = make_keys(artifact.parent, curve)
    folder, signature = artifact.parent / "1", artifact.parent / "theirs.sig"
    assert upstream("sign", "key", folder, "--private_key", private, "--signature", signature)[0] == 0
    options = ["--public-key", public, "--signature", signature]
    assert ours("verify", artifact, *options)[0] == 0
    code, said = ours("unpack", artifact, artifact.parent / "again", *options)
    assert code == 0, said
    code, said = ours("verify", folder, *options)
    assert (code, "2 files, all as they were signed" in said) == (0, True), said
    (folder / "more").touch()
    code, said = ours("verify", folder, *options)
    assert (code, "theirs.sig: more is not signed" in said) == (7, True), said


def test_both_sign_the_same_files_in_the_same_order_under_the_same_digest(artifact):
    private, _ = make_keys(artifact.parent, "P-256")
    folder = artifact.parent / "1"
    assert ours("sign", folder, "--key", private, "--signature", artifact.parent / "ours.sig")[0] == 0
    upstream("sign", "key", folder, "--private_key", private, "--signature", artifact.parent / "theirs.sig")
    our_bundle, our_statement = _read(artifact.parent / "ours.sig")
    their_bundle, their_statement = _read(artifact.parent / "theirs.sig")
    assert our_statement["subject"] == their_statement["subject"]
    assert our_statement["predicate"]["resources"] == their_statement["predicate"]["resources"]
    assert our_bundle["verificationMaterial"] == their_bundle["verificationMaterial"]


def _read(signature):
    """A bundle, and the statement in it."""
    bundle = json.loads(signature.read_text())
    return bundle, json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
