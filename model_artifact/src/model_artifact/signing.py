"""Signs models: the signature is a file of its own beside the model, `<model>.sig`.

It is made of an artifact's manifest, so it holds for the artifact and for the version folder that it unpacks to.
"""

from collections.abc import Callable
from pathlib import Path, PurePath

from model_artifact.errors import SigningError
from model_artifact.location import Location
from model_artifact.manifest import Manifest
from model_artifact.partial import whole_file
from model_artifact.signing_folder import hash_folder
from model_artifact.signing_keys import PrivateKey
from model_artifact.signing_statement import (
    LARGEST_SIGNATURE_BYTES,
    SignedStatement,
    Statement,
    pre_authentication,
    render_bundle,
    render_statement,
)
from model_artifact.sources import open_bucket
from model_artifact.verification import verify


def sign(
    model: Location, key: PrivateKey, signature: Location, *, progress: Callable[[str], None] = lambda _: None
) -> None:
    """Sign an artifact, of which every byte is verified first, or a version folder.

    Args:
        model: an artifact in a file or in a bucket, or a folder.
        key: signs.
        signature: where to put it; one that is there is replaced.
        progress: told what is being done.

    Raises:
        SigningError: when the folder holds what cannot be signed, or the signature would stand inside of it.
        ArtifactError: when the artifact is damaged, or a bucket does not take the signature.
        OSError: when something cannot be read or written.
    """
    if isinstance(model, Path) and model.is_dir():
        if isinstance(signature, Path) and signature.resolve().is_relative_to(model.resolve()):
            raise SigningError(f"{signature}: inside of what it signs it would be one more file; put it beside")
        statement, name = Statement(hash_folder(model, progress)), model.resolve().name
    else:
        statement, name = state_manifest(verify(model, progress=progress)), PurePath(model.name).stem
    write_signature(render_signature(statement, name, key), signature)


def state_manifest(manifest: Manifest) -> Statement:
    """What is signed of an artifact: its files, and by its content digest all that it says of how it was made."""
    return Statement({file.path: file.sha256 for file in manifest.content.files}, manifest.digest)


def render_signature(statement: Statement, name: str, key: PrivateKey) -> bytes:
    """The signature's file; the same for the same statement, name and key.

    Args:
        statement: what is signed.
        name: what to call the model; it proves nothing.
        key: signs.

    Raises:
        SigningError: when it would be longer than any verifier reads.
    """
    payload = render_statement(statement, name)
    bundle = render_bundle(SignedStatement(payload, key.sign(pre_authentication(payload)), key.public.hint))
    if len(bundle) > LARGEST_SIGNATURE_BYTES:
        raise SigningError(f"{name}: its signature would be longer than {LARGEST_SIGNATURE_BYTES} bytes; sign less")
    return bundle


def write_signature(bundle: bytes, signature: Location) -> None:
    """Write a signature's file, durably, whole or not at all; one that is there is replaced.

    Raises:
        StoreAccessError: when the bucket does not take it.
        OSError: when it cannot be written.
    """
    if not isinstance(signature, Path):
        open_bucket(signature.bucket).write_text(signature.key, bundle.decode())
        return
    with whole_file(signature) as out:
        out.write(bundle)
