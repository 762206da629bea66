"""What `model-artifact` does about signatures; imported only where one is asked for, since that needs cryptography."""

import argparse
from collections.abc import Callable
from pathlib import Path

from model_artifact.location import Location
from model_artifact.manifest import Manifest
from model_artifact.signing import sign
from model_artifact.signing_check import check_artifact, check_folder, read_signature, signature_location
from model_artifact.signing_keys import load_private_key, load_public_keys

Progress = Callable[[str], None]


def sign_model(options: argparse.Namespace, progress: Progress) -> Location:
    """Sign what `options.model` names; where the signature stands.

    Raises:
        ArtifactError: when the key cannot sign, or the model cannot be signed.
        OSError: when something cannot be read or written.
    """
    key = load_private_key(options.key)
    signature = options.signature or signature_location(options.model)
    sign(options.model, key, signature, progress=progress)
    return signature


def load_approval(options: argparse.Namespace) -> Callable[[Manifest], None]:
    """Raises for a manifest that `options.signature` does not vouch for by `options.public_key`.

    Key and signature are read at once, before anything of the artifact is.

    Raises:
        SignatureMissingError: when there is no signature.
        SignatureInvalidError: when the key is none.
        StoreAccessError: when the signature's bucket cannot be read.
        OSError: when the signature cannot be read.
    """
    keys = load_public_keys(options.public_key)
    signature = options.signature or signature_location(options.artifact)
    bundle = read_signature(signature)
    return lambda manifest: check_artifact(manifest, bundle, keys, str(signature))


def verify_folder(folder: Path, options: argparse.Namespace, progress: Progress) -> int:
    """Accept a folder that `options.signature` vouches for by `options.public_key`; how many files it holds.

    Raises:
        ArtifactError: as `load_approval` raises it, and when a file is not what was signed.
        OSError: when something cannot be read.
    """
    keys = load_public_keys(options.public_key)
    signature = options.signature or signature_location(folder)
    return check_folder(folder, read_signature(signature), keys, str(signature), progress=progress)
