"""Signatures of artifacts in a bucket: they stand beside them, and nothing is unpacked without one that holds."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model_artifact.__main__ import main
from model_artifact.location import parse_location
from model_artifact.manifest import Provenance
from model_artifact.packing import pack
from model_artifact.recipe import Compression, Recipe, Training
from model_builder.bucket_store import BucketStore
from model_builder.seal import KEY_VARIABLE, load_seal
from store.version_folder import write_version_folder

RECIPE = Recipe(
    compression=Compression(alpha=1.25, bits=8), training=Training(architecture="SmallCNN", dataset="Digits")
)


@pytest.fixture
def keys(tmp_path):
    """A private key and its public half, as options of the commands."""
    secret = ec.generate_private_key(ec.SECP256R1())
    private = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = secret.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "signing.pem").write_bytes(private)
    (tmp_path / "signing.pub").write_bytes(public)
    return ["--key", str(tmp_path / "signing.pem")], ["--public-key", str(tmp_path / "signing.pub")]


def test_an_object_is_signed_beside_itself_and_taken_by_its_signature(bucket, small_artifact, keys, tmp_path, capsys):
    uri, (private, public) = f"s3://{bucket.name}/models/small.zip", keys
    bucket.upload(small_artifact, "models/small.zip")
    assert main(["unpack", uri, str(tmp_path / "out"), *public]) == 8
    assert f"{uri}.sig: no such signature, and only signed models are taken" in capsys.readouterr().err
    assert main(["sign", uri, *private]) == 0
    assert capsys.readouterr().out == f"{uri}.sig\n"
    assert main(["verify", uri, *public]) == 0
    assert main(["unpack", uri, str(tmp_path / "out"), *public]) == 0
    assert main(["verify", str(tmp_path / "out"), *public, "--signature", f"{uri}.sig"]) == 0


def test_an_altered_signature_in_the_bucket_is_refused(bucket, bucket_folder, small_artifact, keys, tmp_path, capsys):
    uri, (private, public) = f"s3://{bucket.name}/small.zip", keys
    bucket.upload(small_artifact, "small.zip")
    assert main(["sign", uri, *private]) == 0
    signature = bucket_folder / "small.zip.sig"
    signature.write_bytes(signature.read_bytes().replace(b'"sig":"ME', b'"sig":"MD'))
    assert main(["unpack", uri, str(tmp_path / "out"), *public]) == 7
    assert f"{uri}.sig: it was altered" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    signature.write_bytes(b"")
    assert main(["unpack", uri, str(tmp_path / "out"), *public]) == 7
    assert f"{uri}.sig: not a signature of a model" in capsys.readouterr().err.splitlines()[-1]


def test_a_store_that_does_not_answer_is_not_an_unsigned_model(bucket, small_artifact, keys, through, tmp_path, capsys):
    bucket.upload(small_artifact, "small.zip")
    through(1)
    options = ["--signature", f"s3://{bucket.name}/small.zip.sig", *keys[1]]
    code = main(["unpack", str(small_artifact), str(tmp_path / "out"), *options])
    assert code == 6, capsys.readouterr().err


def test_a_build_signs_what_it_puts_into_a_bucket_and_knows_it_by_that(bucket, keys, tmp_path):
    made = Provenance(recipe=RECIPE, trained=False, layers=(), versions={}, duration_seconds=1.0)
    pack(write_version_folder(tmp_path / "1", 0), tmp_path / "made.zip", provenance=made)
    root = parse_location(f"s3://{bucket.name}/store")
    sealed = BucketStore(root, load_seal({KEY_VARIABLE: keys[0][1]}))
    summary = BucketStore(root).keep(tmp_path / "made.zip", RECIPE.digest)
    told = []
    assert sealed.read_known(RECIPE.digest, told.append) is None
    assert f"{summary.path}.sig: no such signature" in told.pop()
    assert sealed.keep(tmp_path / "made.zip", RECIPE.digest) == summary
    assert sealed.read_known(RECIPE.digest, told.append) == summary
    assert told == []
    assert main(["verify", f"{root}/{summary.path}", *keys[1]]) == 0
