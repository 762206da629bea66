"""What a build signs, and which artifacts of a store it takes for its own: where it has a key, only what that signed.

A store may be written to by others. A build never signs what it finds there: it would vouch for whatever they put in.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from model_artifact.archive_reader import ArchiveReader
from model_artifact.location import Location
from model_artifact.manifest import Manifest
from model_artifact.manifest_reader import read_manifest
from model_artifact.signing import render_signature, state_manifest
from model_artifact.signing_check import check_artifact, read_signature, signature_location
from model_artifact.signing_keys import PrivateKey, load_private_key

KEY_VARIABLE = "MODELPRESS_SIGNING_KEY"


class Seal:
    """The key of a build; it is never shown."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def sign(self, artifact: Path) -> bytes:
        """The signature of an artifact that this build has made, as `model-artifact sign` gives it for one in a store.

        Raises:
            ArtifactError: when it cannot be signed.
        """
        with ArchiveReader(artifact) as archive:
            manifest = read_manifest(archive)
        return render_signature(state_manifest(manifest), manifest.digest.removeprefix("sha256:"), self._key)

    def load_approval(self, artifact: Location) -> Callable[[Manifest], None]:
        """Raises for a manifest that the signature beside the artifact does not vouch for by this key.

        Raises:
            SignatureMissingError: when there is none.
            StoreAccessError: when its bucket cannot be read.
            OSError: when it cannot be read.
        """
        signature = signature_location(artifact)
        bundle = read_signature(signature)
        return lambda manifest: check_artifact(manifest, bundle, (self._key.public,), str(signature))


def load_seal(environment: Mapping[str, str]) -> Seal | None:
    """The key in the file that MODELPRESS_SIGNING_KEY names; None where it is not set.

    Raises:
        SigningError: when it cannot sign.
        OSError: when it cannot be read.
    """
    path = environment.get(KEY_VARIABLE)
    return Seal(load_private_key(Path(path))) if path else None
