import os
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model_artifact.__main__ import main as model_artifact
from model_artifact.errors import SigningError
from model_artifact.inspection import inspect
from model_artifact.summary import artifact_path, parse_failure, recipe_path
from model_builder.errors import StoreError
from model_builder.folder_store import FolderStore
from model_builder.loading import load_and_build
from model_builder.seal import KEY_VARIABLE, load_seal


def write_keys(folder, name):
    """Both halves as PEM files, `<name>.pem` and `<name>.pub`."""
    secret = ec.generate_private_key(ec.SECP256R1())
    private = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = secret.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)


@pytest.fixture(scope="module")
def built(tmp_path_factory, make_untrained):
    """A real artifact of an untrained SmallCNN, and its recipe's digest."""
    path = tmp_path_factory.mktemp("built") / "artifact.zip"
    load_and_build(make_untrained(), path, {}, lambda _: None)
    return path, make_untrained().digest


@pytest.fixture
def keys(tmp_path):
    for name in ("mine", "other"):
        write_keys(tmp_path, name)
    return tmp_path


@pytest.fixture
def open_store(keys, tmp_path):
    """A store whose builds sign with the key of that name, or with none."""
    (tmp_path / "store").mkdir()

    def open_with(name=None):
        environment = {KEY_VARIABLE: str(keys / f"{name}.pem")} if name else {}
        made = FolderStore(tmp_path / "store", load_seal(environment))
        made.prepare(time.time())
        return made

    return open_with


def read_known(store, recipe_digest):
    """What the store knows, and why not."""
    told = []
    return store.read_known(recipe_digest, told.append), told


def test_what_a_build_stores_is_signed_and_known_by_that(keys, open_store, built, tmp_path):
    artifact, recipe_digest = built
    summary = open_store("mine").keep(artifact, recipe_digest)
    stored = tmp_path / "store" / summary.path
    assert sorted(path.relative_to(tmp_path / "store").as_posix() for path in stored.parent.parent.rglob("*.*")) == [
        artifact_path(summary.digest),
        f"{artifact_path(summary.digest)}.sig",
        recipe_path(recipe_digest),
    ]
    assert model_artifact(["verify", str(stored), "--public-key", str(keys / "mine.pub")]) == 0
    assert read_known(open_store("mine"), recipe_digest) == (summary, [])
    signature = stored.with_name(f"{stored.name}.sig").read_bytes()
    assert (
        model_artifact(["sign", str(stored), "--key", str(keys / "mine.pem"), "--signature", str(keys / "again")]) == 0
    )
    assert (keys / "again").read_bytes() == signature


def test_a_build_whose_signature_cannot_be_stored_leaves_no_record(open_store, built, tmp_path):
    store = open_store("mine")
    (tmp_path / "store" / f"{artifact_path(inspect(built[0]).digest)}.sig").mkdir()
    with pytest.raises(StoreError, match="is a directory"):
        store.keep(*built)
    assert list((tmp_path / "store" / "recipes").iterdir()) == []


@pytest.mark.parametrize(("first", "words"), [(None, "no such signature"), ("other", "it is by the key")])
def test_a_known_artifact_that_this_key_has_not_signed_is_built_anew_and_never_signed(
    first, words, keys, open_store, built
):
    artifact, recipe_digest = built
    summary = open_store(first).keep(artifact, recipe_digest)
    before = sorted(path.name for path in (keys / "store" / "artifacts").iterdir())
    known, told = read_known(open_store("mine"), recipe_digest)
    assert known is None
    assert len(told) == 1
    assert words in told[0]
    assert told[0].endswith("; building anew")
    assert sorted(path.name for path in (keys / "store" / "artifacts").iterdir()) == before
    assert open_store("mine").keep(artifact, recipe_digest) == summary
    assert read_known(open_store("mine"), recipe_digest) == (summary, [])


def test_without_a_key_signatures_are_not_looked_at(open_store, built):
    artifact, recipe_digest = built
    summary = open_store("other").keep(artifact, recipe_digest)
    assert read_known(open_store(), recipe_digest) == (summary, [])


def test_a_key_that_cannot_sign_ends_the_job_before_it_builds(keys, tmp_path):
    (tmp_path / "bad.pem").write_bytes((keys / "mine.pub").read_bytes())
    with pytest.raises(SigningError, match=r"bad.pem: no private key in PEM"):
        load_seal({KEY_VARIABLE: str(tmp_path / "bad.pem")})
    environment = {
        **os.environ,
        KEY_VARIABLE: str(tmp_path / "bad.pem"),
        "MODELPRESS_STORE": str(tmp_path),
        "MODELPRESS_RECIPE": "not looked at",
        "MODELPRESS_TERMINATION_LOG": str(tmp_path / "log"),
    }
    command = [sys.executable, "-m", "model_builder.job"]
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    failure = parse_failure((tmp_path / "log").read_text())
    assert (ended.returncode, failure.permanent) == (2, True)
    assert "bad.pem: no private key in PEM" in failure.error
    assert "BEGIN" not in ended.stdout + ended.stderr + failure.error
