"""What a signature says, in the OpenSSF model-signing form: a statement of a model's files in a Sigstore bundle.

    bundle     JSON: which key (a hint), and an envelope (DSSE) with the statement and its one signature
    statement  JSON (in-toto v1, predicate https://model_signing/signature/v1.0): the SHA-256 of every file

Pure: pydantic alone, no key and no file. Nothing in a bundle chooses how it is verified.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from model_artifact.errors import SignatureInvalidError
from model_artifact.manifest import Sha256
from model_artifact.naming import format_name
from model_artifact.recipe import canonical_json

LARGEST_SIGNATURE_BYTES = 64 * 2**20
"""As large as the largest manifest: a bundle names the files as a manifest does."""
_MOST_VALUES = 256
"""Commas and braces outside of the statement, of which a bundle has about ten: parsing it costs no memory then."""
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"


@dataclass(frozen=True)
class Statement:
    """What is vouched for.

    Attributes:
        files: SHA-256 in hex of every file of the version folder, by its relative path.
        content_digest: the artifact's; it covers what the manifest says of how the model was made. None where a folder
            was signed, or by a program that does not know artifacts.
    """

    files: Mapping[str, str]
    content_digest: str | None = None


@dataclass(frozen=True)
class SignedStatement:
    """A statement as it was signed, before anybody verified it.

    Attributes:
        payload: the statement's bytes.
        signature: over `pre_authentication(payload)`.
        key_hint: SHA-256 in hex of the public key in PEM, as the bundle has it; None where it has none.
    """

    payload: bytes
    signature: bytes
    key_hint: str | None


def pre_authentication(payload: bytes) -> bytes:
    """The bytes that are signed: type and length stand before the payload (DSSE v1, PAE)."""
    return f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} ".encode() + payload


class _Document(BaseModel):
    """Fields that we do not know are not ours to judge: whoever signed may have said more."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_camel)


class _PublicKey(_Document):
    hint: str | None = None


class _Material(_Document):
    public_key: _PublicKey | None = None


class _EnvelopeSignature(_Document):
    sig: str


class _Envelope(_Document):
    payload: str
    payload_type: str
    signatures: Annotated[list[_EnvelopeSignature], Field(min_length=1, max_length=1)]


class _Bundle(_Document):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


class _Subject(_Document):
    name: str
    digest: dict[str, str]


class _Resource(_Document):
    name: str
    algorithm: str
    digest: Sha256


class _Serialization(_Document):
    model_config = ConfigDict(alias_generator=None)

    method: str
    hash_type: str


class _Modelpress(_Document):
    content_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Predicate(_Document):
    serialization: _Serialization
    resources: list[_Resource]
    modelpress: _Modelpress | None = None


class _InToto(_Document):
    type: Annotated[str, Field(alias="_type")]
    predicate_type: str
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate: dict[str, Any]


def render_statement(statement: Statement, name: str) -> bytes:
    """The statement as it is signed: the same files under the same name give the same bytes.

    Args:
        statement: what is vouched for.
        name: what to call the model; it proves nothing.
    """
    ordered = sorted(statement.files.items(), key=lambda file: PurePosixPath(file[0]).parts)
    predicate: dict[str, Any] = {
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
        "resources": [{"name": path, "algorithm": "sha256", "digest": sha256} for path, sha256 in ordered],
    }
    if statement.content_digest is not None:
        predicate["modelpress"] = {"contentDigest": statement.content_digest}
    document = {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _hash_all(sha256 for _, sha256 in ordered)}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": predicate,
    }
    return canonical_json(document).encode()


def parse_statement(payload: bytes) -> Statement:
    """The statement in a payload whose signature was verified.

    Raises:
        SignatureInvalidError: when it is none of a model's files by SHA-256.
    """
    try:
        document = _InToto.model_validate_json(payload)
        if (document.type, document.predicate_type) != (_STATEMENT_TYPE, _PREDICATE_TYPE):
            raise SignatureInvalidError(
                f"it signs {format_name(document.predicate_type)}, not a model ({_PREDICATE_TYPE}); sign the model anew"
            )
        predicate = _Predicate.model_validate(document.predicate)
    except ValidationError as error:
        raise SignatureInvalidError(_format_problem("the signed statement", error)) from error
    said = predicate.serialization
    if (said.method, said.hash_type) != ("files", "sha256"):
        method = format_name(f"{said.method} by {said.hash_type}")
        raise SignatureInvalidError(f"it signs {method}; sign the model anew, as files by sha256")
    files = {resource.name: resource.digest for resource in predicate.resources}
    if len(files) != len(predicate.resources) or any(each.algorithm != "sha256" for each in predicate.resources):
        raise SignatureInvalidError("it signs a file twice, or not by sha256; sign the model anew")
    if "." in files:
        raise SignatureInvalidError(
            "it signs a single file; sign the version folder, or the artifact by model-artifact"
        )
    if document.subject[0].digest.get("sha256") != _hash_all(each.digest for each in predicate.resources):
        raise SignatureInvalidError("the digest of its subject is not that of its files; sign the model anew")
    return Statement(files, predicate.modelpress.content_digest if predicate.modelpress else None)


def render_bundle(signed: SignedStatement) -> bytes:
    """The signature's file."""
    document = {
        "mediaType": _BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": signed.key_hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(signed.payload).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signed.signature).decode(), "keyid": ""}],
        },
    }
    return canonical_json(document).encode() + b"\n"


def parse_bundle(text: bytes) -> SignedStatement:
    """What a signature's file, which may be hostile, holds; nothing of it is verified.

    Raises:
        SignatureInvalidError: when it is no bundle by a key.
    """
    if text.count(b",") + text.count(b"{") > _MOST_VALUES:
        raise SignatureInvalidError("not a signature of a model by a key; fetch it again or sign the model anew")
    try:
        bundle = _Bundle.model_validate_json(text)
    except ValidationError as error:
        raise SignatureInvalidError(_format_problem("not a signature of a model by a key", error)) from error
    envelope, key = bundle.dsse_envelope, bundle.verification_material.public_key
    if bundle.media_type != _BUNDLE_TYPE or envelope.payload_type != _PAYLOAD_TYPE:
        kinds = format_name(f"{bundle.media_type} of {envelope.payload_type}")
        raise SignatureInvalidError(f"its kind is {kinds}, not {_BUNDLE_TYPE} of {_PAYLOAD_TYPE}; sign the model anew")
    if key is None:
        raise SignatureInvalidError("it was made without a key, or by a certificate; sign the model with a key")
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        signature = base64.b64decode(envelope.signatures[0].sig, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureInvalidError(f"its envelope is damaged ({error}); fetch it again") from error
    return SignedStatement(payload, signature, key.hint or None)


def _hash_all(digests: Iterable[str]) -> str:
    """SHA-256 over the digests one after the other."""
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(bytes.fromhex(digest))
    return whole.hexdigest()


def _format_problem(what: str, error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    field = format_name(".".join(str(part) for part in problem["loc"]))
    where = f"{field}: " if field else ""
    return f"{what} ({where}{format_name(problem['msg'])}); fetch it again or sign the model anew"
