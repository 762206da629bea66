import base64
import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_artifact.__main__ import main
from model_artifact.errors import SignatureInvalidError
from model_artifact.manifest import Layer, Provenance
from model_artifact.packing import pack
from model_artifact.recipe import Compression, Recipe, Training
from model_artifact.signing import render_signature
from model_artifact.signing_check import parse_trusted
from model_artifact.signing_keys import load_private_key, load_public_keys
from model_artifact.signing_statement import (
    SignedStatement,
    Statement,
    parse_bundle,
    pre_authentication,
    render_bundle,
    render_statement,
)
from model_artifact.summary import parse_failure
from model_artifact.verification import verify

CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
SHA256 = "c" * 64


def write_keys(folder, name, secret, password=None):
    """Both halves as PEM files, `<name>.pem` and `<name>.pub`."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    public = secret.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)


@pytest.fixture
def keys(tmp_path):
    """A folder with a key that is trusted, `mine`, and one that is not, `other`."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("mine", "other"):
        write_keys(folder, name, ec.generate_private_key(ec.SECP256R1()))
    return folder


def make_provenance(seconds):
    return Provenance(
        recipe=Recipe(
            compression=Compression(alpha=1.25, bits=8),
            training=Training(architecture="SmallCNN", dataset="Digits"),
        ),
        trained=True,
        layers=(Layer(name="dense/kernel", shape=(200, 300), step=0.0123, zeros=1, saturated=0),),
        versions={},
        duration_seconds=seconds,
    )


@pytest.fixture
def artifact(version_folder, tmp_path):
    """One with provenance, as ours have."""
    pack(version_folder, tmp_path / "a.zip", provenance=make_provenance(1.0))
    return tmp_path / "a.zip"


@pytest.fixture
def signed(artifact, keys, capsys):
    """The artifact, with its signature beside it."""
    assert main(["sign", str(artifact), "--key", str(keys / "mine.pem")]) == 0
    assert capsys.readouterr().out == f"{artifact}.sig\n"
    return artifact


def test_a_signature_holds_for_the_artifact_and_for_the_folder_it_unpacks_to(signed, keys, tmp_path, capsys):
    key = ["--public-key", str(keys / "mine.pub")]
    digest = verify(signed).digest
    assert main(["verify", str(signed), *key]) == 0
    assert capsys.readouterr().out == f"{digest}\n"
    assert main(["unpack", str(signed), str(tmp_path / "m" / "1"), *key, "--digest", digest]) == 0
    assert main(["unpack", str(signed), str(tmp_path / "m" / "1"), *key]) == 0
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "m" / "1"), *key, "--signature", f"{signed}.sig"]) == 0
    assert capsys.readouterr().out == "3 files, all as they were signed\n"


def test_a_folder_is_signed_as_it_stands(version_folder, keys, capsys):
    assert main(["sign", str(version_folder), "--key", str(keys / "mine.pem")]) == 0
    assert capsys.readouterr().out == f"{version_folder}.sig\n"
    assert main(["verify", str(version_folder), "--public-key", str(keys / "mine.pub")]) == 0


def test_what_is_signed_is_the_form_of_model_signing(signed, keys):
    bundle = json.loads((signed.parent / "a.zip.sig").read_bytes())
    envelope = bundle["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    files = sorted(verify(signed).content.files, key=lambda file: file.path.split("/"))
    digests = b"".join(bytes.fromhex(file.sha256) for file in files)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {
        "publicKey": {"hint": hashlib.sha256((keys / "mine.pub").read_bytes()).hexdigest()},
        "tlogEntries": [],
    }
    assert (envelope["payloadType"], len(envelope["signatures"])) == ("application/vnd.in-toto+json", 1)
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a", "digest": {"sha256": hashlib.sha256(digests).hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": [{"name": file.path, "algorithm": "sha256", "digest": file.sha256} for file in files],
            "modelpress": {"contentDigest": verify(signed).digest},
        },
    }
    assert pre_authentication(b"{}") == b"DSSEv1 28 application/vnd.in-toto+json 2 {}"


def test_signing_again_gives_the_same_bytes(signed, keys):
    signature = signed.parent / "a.zip.sig"
    first = signature.read_bytes()
    assert main(["sign", str(signed), "--key", str(keys / "mine.pem"), "--signature", str(signature)]) == 0
    assert signature.read_bytes() == first
    assert sorted(path.name for path in signed.parent.iterdir()) == ["a.zip", "a.zip.sig", "keys", "version"]


@pytest.mark.parametrize("curve", CURVES)
def test_every_curve_that_is_taken(curve, signed, keys, tmp_path):
    write_keys(keys, curve, ec.generate_private_key(CURVES[curve]()))
    assert main(["sign", str(signed), "--key", str(keys / f"{curve}.pem"), "--signature", str(tmp_path / "s")]) == 0
    given_options = ["--public-key", str(keys / f"{curve}.pub"), "--signature", str(tmp_path / "s")]
    assert main(["verify", str(signed), *given_options]) == 0


def test_one_of_several_keys_is_enough(signed, keys):
    both = keys / "both.pub"
    both.write_bytes((keys / "other.pub").read_bytes() + (keys / "mine.pub").read_bytes())
    assert main(["verify", str(signed), "--public-key", str(both)]) == 0
    assert main(["verify", str(signed), "--public-key", str(keys / "other.pub")]) == 7


def alter(signature, change):
    """Change the bundle in place."""
    bundle = json.loads(signature.read_bytes())
    change(bundle)
    signature.write_text(json.dumps(bundle))


def drop_hint(bundle):
    del bundle["verificationMaterial"]["publicKey"]["hint"]


def test_a_bundle_without_a_hint_is_fine(signed, keys, capsys):
    alter(signed.parent / "a.zip.sig", drop_hint)
    assert main(["verify", str(signed), "--public-key", str(keys / "mine.pub")]) == 0
    assert main(["verify", str(signed), "--public-key", str(keys / "other.pub")]) == 7
    assert "it was altered, or made with another key than" in capsys.readouterr().err


def resign(signed, keys, change):
    """A signature by the trusted key over a statement that was changed."""
    statement = json.loads(parse_bundle((signed.parent / "a.zip.sig").read_bytes()).payload)
    change(statement)
    payload = json.dumps(statement).encode()
    key = load_private_key(keys / "mine.pem")
    bundle = render_bundle(SignedStatement(payload, key.sign(pre_authentication(payload)), None))
    (signed.parent / "a.zip.sig").write_bytes(bundle)


def refuse(signed, keys, words, capsys, key="mine.pub", code=7):
    """Both commands refuse with one sentence, and nothing is written."""
    capsys.readouterr()
    public = ["--public-key", str(keys / key)]
    before = sorted(path.name for path in signed.parent.iterdir())
    for command in (["verify", str(signed)], ["unpack", str(signed), str(signed.parent / "out")]):
        assert main([*command, *public]) == code
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1
        assert words in errors[0]
    assert sorted(path.name for path in signed.parent.iterdir()) == before


def test_unsigned_is_refused(artifact, keys, capsys):
    refuse(artifact, keys, "a.zip.sig: no such signature, and only signed models are taken", capsys, code=8)


def test_another_key_is_refused(signed, keys, capsys):
    refuse(signed, keys, "a.zip.sig: it is by the key", capsys, key="other.pub")


def test_a_key_that_only_claims_to_be_the_trusted_one_is_refused(signed, keys, capsys):
    mine, other = load_private_key(keys / "mine.pem"), load_private_key(keys / "other.pem")
    payload = parse_bundle((signed.parent / "a.zip.sig").read_bytes()).payload
    forged = SignedStatement(payload, other.sign(pre_authentication(payload)), mine.public.hint)
    (signed.parent / "a.zip.sig").write_bytes(render_bundle(forged))
    refuse(signed, keys, "it was altered, or made with another key than", capsys)


def test_a_trusted_signature_that_names_another_key_is_refused(signed, keys, capsys):
    hint = load_public_keys(keys / "other.pub")[0].hint
    alter(signed.parent / "a.zip.sig", lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=hint))
    refuse(signed, keys, f"it is by the key {hint[:16]}", capsys)


def test_the_signature_of_another_model_is_refused(signed, version_folder, keys, capsys):
    (version_folder / "empty.txt").write_text("not any more")
    pack(version_folder, signed, provenance=make_provenance(1.0))
    refuse(signed, keys, "a.zip.sig: empty.txt is not what was signed", capsys)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "more").touch(), "more is not signed"),
        (lambda folder: (folder / "empty.txt").unlink(), "empty.txt is signed but not there"),
    ],
)
def test_one_file_more_or_less_is_refused(change, words, signed, version_folder, keys, capsys):
    change(version_folder)
    pack(version_folder, signed, provenance=make_provenance(1.0))
    refuse(signed, keys, words, capsys)
    public = ["--public-key", str(keys / "mine.pub"), "--signature", f"{signed}.sig"]
    assert main(["verify", str(version_folder), *public]) == 7
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_other_words_on_how_it_was_made_are_refused(signed, version_folder, keys, capsys):
    pack(version_folder, signed, provenance=make_provenance(2.0))
    refuse(signed, keys, f"not {verify(signed).digest}; sign this artifact", capsys)


def test_a_signature_of_the_files_alone_does_not_vouch_for_provenance(signed, version_folder, keys, capsys):
    main(["sign", str(version_folder), "--key", str(keys / "mine.pem"), "--signature", f"{signed}.sig"])
    refuse(signed, keys, "but not for what the manifest says of how they were made", capsys)
    pack(version_folder, signed)
    assert main(["verify", str(signed), "--public-key", str(keys / "mine.pub")]) == 0


def test_altered_bytes_under_a_good_signature_are_refused(signed, keys, tmp_path, capsys):
    data = bytearray(signed.read_bytes())
    data[data.index(b"files/model.tflite") + 40] ^= 1
    signed.write_bytes(data)
    assert main(["unpack", str(signed), str(tmp_path / "out"), "--public-key", str(keys / "mine.pub")]) == 3
    assert "damaged" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_a_link_is_refused(version_folder, keys, capsys):
    main(["sign", str(version_folder), "--key", str(keys / "mine.pem")])
    (version_folder / "empty.txt").unlink()
    (version_folder / "empty.txt").symlink_to(os.devnull)
    assert main(["verify", str(version_folder), "--public-key", str(keys / "mine.pub")]) == 7
    assert "empty.txt: neither a file nor a folder" in capsys.readouterr().err
    assert main(["sign", str(version_folder), "--key", str(keys / "mine.pem")]) == 2


def use_other_material(bundle):
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}


def use_message_signature(bundle):
    bundle["messageSignature"] = bundle.pop("dsseEnvelope")


def sign_twice(bundle):
    bundle["dsseEnvelope"]["signatures"] *= 2


def sign_never(bundle):
    bundle["dsseEnvelope"]["signatures"] = []


def break_base64(bundle):
    bundle["dsseEnvelope"]["payload"] = "*" + bundle["dsseEnvelope"]["payload"]


def add_objects(bundle):
    bundle["more"] = [{}] * 300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (use_other_material, "made without a key, or by a certificate"),
        (use_message_signature, "not a signature of a model by a key (dsseEnvelope: Field required)"),
        (sign_twice, "dsseEnvelope.signatures: List should have at most 1 item"),
        (sign_never, "dsseEnvelope.signatures: List should have at least 1 item"),
        (break_base64, "its envelope is damaged"),
        (add_objects, "not a signature of a model by a key; fetch it again"),
        (lambda bundle: bundle.update(mediaType="application/json"), "its kind is application/json of"),
        (lambda bundle: bundle["dsseEnvelope"].update(payloadType="text/plain"), "of text/plain, not"),
        (lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(sig=""), "it was altered, or made with another"),
    ],
)
def test_other_bundles_are_refused(change, words, signed, keys, capsys):
    alter(signed.parent / "a.zip.sig", change)
    refuse(signed, keys, words, capsys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not a signature of a model by a key (Invalid JSON"),
        (b"\xff\xfe", "not a signature of a model by a key"),
        (b"[" * 10_000, "not a signature of a model by a key (Invalid JSON: recursion limit exceeded"),
        (b" " * (64 * 2**20 + 1), "longer than any signature"),
    ],
    ids=["empty", "binary", "deep", "long"],
)
def test_what_is_no_bundle_is_refused(text, words, signed, keys, capsys):
    (signed.parent / "a.zip.sig").write_bytes(text)
    refuse(signed, keys, words, capsys)


def repeat_resource(statement):
    statement["predicate"]["resources"] *= 2


def use_shards(statement):
    statement["predicate"]["serialization"].update(method="shards", shard_size=1000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (repeat_resource, "it signs a file twice"),
        (use_shards, "it signs shards by sha256"),
        (lambda said: said["predicate"]["serialization"].update(hash_type="blake3"), "it signs files by blake3"),
        (lambda said: said["predicate"]["resources"][0].update(algorithm="md5"), "or not by sha256"),
        (
            lambda said: said["predicate"]["resources"][0].update(digest="00"),
            "the signed statement (resources.0.digest",
        ),
        (lambda said: said["predicate"]["resources"][0].update(name="."), "it signs a single file"),
        (lambda said: said["predicate"]["resources"].pop(), "the digest of its subject is not that of its files"),
        (lambda said: said["subject"].clear(), "the signed statement (subject"),
        (lambda said: said.update(predicateType="https://model_signing/Digests/v0.1"), "Digests/v0.1, not a model"),
        (lambda said: said.update(_type="https://in-toto.io/Statement/v0.1"), "not a model"),
        (lambda said: said["predicate"].update(modelpress={}), "modelpress.contentDigest: Field required"),
    ],
)
def test_other_statements_are_refused_though_a_trusted_key_signed_them(change, words, signed, keys, capsys):
    resign(signed, keys, change)
    refuse(signed, keys, words, capsys)


def test_fields_that_we_do_not_know_are_left_to_those_who_do(signed, keys):
    resign(signed, keys, lambda statement: statement["predicate"].update(card={"license": "MIT"}))
    assert main(["verify", str(signed), "--public-key", str(keys / "mine.pub")]) == 0


def test_a_signature_by_another_hash_or_in_another_encoding_is_refused(signed, keys, capsys):
    secret = serialization.load_pem_private_key((keys / "mine.pem").read_bytes(), None)
    payload = parse_bundle((signed.parent / "a.zip.sig").read_bytes()).payload
    long_hash = secret.sign(pre_authentication(payload), ec.ECDSA(hashes.SHA512()))
    numbers = decode_dss_signature(secret.sign(pre_authentication(payload), ec.ECDSA(hashes.SHA256())))
    raw = b"".join(number.to_bytes(32, "big") for number in numbers)
    bare = secret.sign(payload, ec.ECDSA(hashes.SHA256()))
    for signature in (long_hash, raw, bare):
        bundle = render_bundle(SignedStatement(payload, signature, None))
        (signed.parent / "a.zip.sig").write_bytes(bundle)
        refuse(signed, keys, "it was altered, or made with another key than", capsys)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "is on no elliptic curve that is taken: P-256, P-384 or P-521"),
        (ed25519.Ed25519PrivateKey.generate, "is on no elliptic curve that is taken"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "is on no elliptic curve that is taken"),
    ],
    ids=["RSA", "Ed25519", "secp256k1"],
)
def test_keys_of_another_kind_neither_sign_nor_verify(secret, words, signed, keys, capsys):
    write_keys(keys, "strange", secret())
    refuse(signed, keys, f"strange.pub: a key in it {words}", capsys, key="strange.pub")
    assert main(["sign", str(signed), "--key", str(keys / "strange.pem")]) == 2
    assert "strange.pem: not a key on an elliptic curve; signing needs P-256" in capsys.readouterr().err


def test_public_keys_that_are_none_are_refused(signed, keys, capsys):
    (keys / "nonsense.pub").write_text("nonsense")
    (keys / "cut.pub").write_bytes((keys / "mine.pub").read_bytes().replace(b"MFkw", b"MFk"))
    (keys / "mixed.pub").write_bytes(
        (keys / "mine.pub").read_bytes() + b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    )
    for name, words in {
        "gone.pub": "the public key cannot be read: ",
        "mine.pem": "mine.pem: a private key; give the public half alone",
        "nonsense.pub": "nonsense.pub: holds something else than public keys in PEM",
        "mixed.pub": "mixed.pub: holds something else than public keys in PEM",
        "cut.pub": "cut.pub: a public key in it is damaged",
    }.items():
        refuse(signed, keys, words, capsys, key=name)


def test_private_keys_that_cannot_sign_are_refused(artifact, keys, capsys):
    write_keys(keys, "locked", ec.generate_private_key(ec.SECP256R1()), password=b"secret")
    for name, words in {
        "gone.pem": "gone.pem: no such file or directory",
        "locked.pem": "locked.pem: the key has a password; take it away with `openssl pkey`",
        "mine.pub": "mine.pub: no private key in PEM; make one as docs/signing.md says",
    }.items():
        assert main(["sign", str(artifact), "--key", str(keys / name)]) == 2
        assert words in capsys.readouterr().err
    assert not (artifact.parent / "a.zip.sig").exists()


def test_a_damaged_artifact_is_not_signed(artifact, keys, capsys):
    artifact.write_bytes(artifact.read_bytes()[:-100])
    assert main(["sign", str(artifact), "--key", str(keys / "mine.pem")]) == 3
    assert "not a whole artifact" in capsys.readouterr().err
    assert not (artifact.parent / "a.zip.sig").exists()


def test_a_signature_does_not_stand_in_what_it_signs(version_folder, keys, capsys):
    inside = str(version_folder / "model.sig")
    assert main(["sign", str(version_folder), "--key", str(keys / "mine.pem"), "--signature", inside]) == 2
    assert "inside of what it signs it would be one more file; put it beside" in capsys.readouterr().err
    assert main(["sign", str(version_folder), "--key", str(keys / "mine.pem"), "--signature", "/dev/null/x"]) == 2


def test_options_that_would_check_nothing_are_refused(signed, version_folder, tmp_path, capsys):
    for command, words in {
        ("verify", str(signed), "--signature", f"{signed}.sig"): "--signature is read only where --public-key",
        ("unpack", str(signed), str(tmp_path / "o"), "--signature", f"{signed}.sig"): "give both",
        ("verify", str(version_folder)): "a folder is verified by --public-key alone",
    }.items():
        assert main(list(command)) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(("content", "code", "permanent"), [(None, 8, False), (b"{}", 7, True)])
def test_the_operator_is_told(content, code, permanent, artifact, keys, tmp_path):
    signature = artifact.parent / "a.zip.sig"
    if content is not None:
        signature.write_bytes(content)
    options = ["--public-key", str(keys / "mine.pub"), "--summary", str(tmp_path / "log")]
    assert main(["unpack", str(artifact), str(tmp_path / "out"), *options]) == code
    failure = parse_failure((tmp_path / "log").read_text())
    assert failure.permanent is permanent
    assert failure.error.startswith(f"{signature}: ")


def test_the_private_key_is_never_shown(keys):
    key = load_private_key(keys / "mine.pem")
    assert repr(key) == str(key) == f"PrivateKey({key.public.hint})"


def test_without_cryptography_a_sentence_says_what_to_install(artifact, keys):
    code = "import sys; sys.modules['cryptography'] = None; from model_artifact.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "verify", str(artifact), "--public-key", str(keys / "mine.pub")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "signatures need the package cryptography; install modelpress-artifact[signing]" in ended.stderr


@given(position=st.integers(0, 10_000), change=st.integers(1, 255))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_byte_of_a_signature_can_be_changed_to_say_something_else(position, change, keys):
    private, public = load_private_key(keys / "mine.pem"), load_public_keys(keys / "mine.pub")
    statement = Statement({"model.tflite": SHA256, "variables/0": SHA256}, f"sha256:{SHA256}")
    bundle = bytearray(render_signature(statement, "m", private))
    bundle[position % len(bundle)] ^= change
    said = None
    with suppress(SignatureInvalidError):
        said = parse_trusted(bytes(bundle), public)
    assert said in (None, statement)


def test_the_same_statement_is_the_same_bytes_in_any_order():
    forth, back = {"b/a": SHA256, "b": SHA256}, {"b": SHA256, "b/a": SHA256}
    assert render_statement(Statement(forth), "m") == render_statement(Statement(back), "m")
