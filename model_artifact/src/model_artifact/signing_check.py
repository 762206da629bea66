"""Accepts those models alone whose every part a trusted key vouches for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from model_artifact.errors import ObjectMissingError, SignatureInvalidError, SignatureMissingError, SigningError
from model_artifact.location import Location, ObjectLocation
from model_artifact.manifest import Manifest
from model_artifact.naming import format_name
from model_artifact.signing_folder import hash_folder
from model_artifact.signing_keys import PublicKey
from model_artifact.signing_statement import (
    LARGEST_SIGNATURE_BYTES,
    SignedStatement,
    Statement,
    parse_bundle,
    parse_statement,
    pre_authentication,
)
from model_artifact.sources import open_bucket

SUFFIX = ".sig"


def signature_location(model: Location) -> Location:
    """Where a model's signature stands when nothing else is said: beside it, `<model>.sig`."""
    if isinstance(model, Path):
        return model.with_name(model.name + SUFFIX)
    return ObjectLocation(model.bucket, model.key + SUFFIX)


def read_signature(signature: Location) -> bytes:
    """A signature's file.

    Raises:
        SignatureMissingError: when there is none.
        SignatureInvalidError: when it is longer than any.
        StoreAccessError: when its bucket cannot be read, or it is longer than any.
        OSError: when it cannot be read.
    """
    try:
        if not isinstance(signature, Path):
            return open_bucket(signature.bucket).read_text(signature.key, LARGEST_SIGNATURE_BYTES).encode()
        with signature.open("rb") as data:
            bundle = data.read(LARGEST_SIGNATURE_BYTES + 1)
    except (FileNotFoundError, ObjectMissingError) as error:
        raise SignatureMissingError(
            f"{signature}: no such signature, and only signed models are taken; sign the model, or name its signature"
        ) from error
    if len(bundle) > LARGEST_SIGNATURE_BYTES:
        raise SignatureInvalidError(f"{signature}: longer than any signature; sign the model anew")
    return bundle


def check_artifact(manifest: Manifest, bundle: bytes, keys: tuple[PublicKey, ...], signature: str) -> None:
    """Accept a manifest when one of the keys vouches for all that it says.

    What it says must then be held against the bytes, as unpacking and verifying do.

    Args:
        manifest: of the artifact.
        bundle: the signature's file.
        keys: those that are trusted.
        signature: what to call that file.

    Raises:
        SignatureInvalidError: when none does.
    """
    with _naming(signature):
        stated = parse_trusted(bundle, keys)
        _compare({file.path: file.sha256 for file in manifest.content.files}, stated.files)
        if stated.content_digest is None and manifest.content.provenance is not None:
            raise SignatureInvalidError(
                "it vouches for the files, but not for what the manifest says of how they were made;"
                " sign the artifact with model-artifact, or verify the unpacked folder"
            )
        if stated.content_digest not in {None, manifest.digest}:
            raise SignatureInvalidError(
                f"it is of the content {stated.content_digest}, not {manifest.digest}; sign this artifact"
            )


def check_folder(
    folder: Path,
    bundle: bytes,
    keys: tuple[PublicKey, ...],
    signature: str,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> int:
    """Accept a version folder when one of the keys vouches for every file in it, and for no other; how many there are.

    Raises:
        SignatureInvalidError: when none does, naming the file.
        OSError: when it cannot be read.
    """
    with _naming(signature):
        stated = parse_trusted(bundle, keys)
        try:
            found = hash_folder(folder, progress)
        except SigningError as error:
            raise SignatureInvalidError(str(error)) from error
        _compare(found, stated.files)
    return len(found)


def parse_trusted(bundle: bytes, keys: tuple[PublicKey, ...]) -> Statement:
    """What one of the keys vouches for.

    Raises:
        SignatureInvalidError: when the signature is damaged or by none of the keys.
    """
    signed = parse_bundle(bundle)
    message = pre_authentication(signed.payload)
    if not any(_is_meant(key, signed) and key.verifies(signed.signature, message) for key in keys):
        raise SignatureInvalidError(_format_refusal(signed, keys))
    return parse_statement(signed.payload)


def _is_meant(key: PublicKey, signed: SignedStatement) -> bool:
    """Whether the bundle names the key, or none."""
    return signed.key_hint in {None, key.hint}


def _format_refusal(signed: SignedStatement, keys: tuple[PublicKey, ...]) -> str:
    trusted = ", ".join(key.hint[:16] for key in keys)
    if signed.key_hint is None or any(_is_meant(key, signed) for key in keys):
        return f"it was altered, or made with another key than {trusted}; sign the model anew"
    other = format_name(signed.key_hint[:16])
    return f"it is by the key {other}, but trusted is {trusted}; sign with that one, or trust the other"


@contextmanager
def _naming(signature: str) -> Iterator[None]:
    """Puts the signature's name before the sentence that says what is wrong with it."""
    try:
        yield
    except SignatureInvalidError as error:
        raise SignatureInvalidError(f"{signature}: {error}") from error


def _compare(found: Mapping[str, str], signed: Mapping[str, str]) -> None:
    """Accept files that are those that were signed: all of them, no other, each the same."""
    for path in sorted(found.keys() | signed.keys()):
        if path not in signed:
            raise SignatureInvalidError(f"{format_name(path)} is not signed; sign the model anew or take the file away")
        if path not in found:
            raise SignatureInvalidError(f"{format_name(path)} is signed but not there; fetch the whole model again")
        if found[path] != signed[path]:
            raise SignatureInvalidError(f"{format_name(path)} is not what was signed; fetch the model again")
