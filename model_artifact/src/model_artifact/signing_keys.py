"""Elliptic curve keys: the one module that opens `cryptography`.

The curve alone says by which hash a signature is verified; nothing in a signature does.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from model_artifact.errors import SignatureInvalidError, SigningError
from model_artifact.termination import format_os_error

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ModuleNotFoundError as error:
    raise SigningError("signatures need the package cryptography; install modelpress-artifact[signing]") from error

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_CURVES = "P-256, P-384 or P-521"
_LARGEST_KEY_FILE_BYTES = 2**16
_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True)
class PublicKey:
    """Verifies signatures.

    Attributes:
        hint: SHA-256 in hex of the key in PEM, as bundles carry it.
    """

    hint: str
    _key: ec.EllipticCurvePublicKey

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's, over exactly this message."""
        try:
            self._key.verify(signature, message, ec.ECDSA(_HASHES[self._key.curve.name]))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """Signs; it is never shown."""

    public: PublicKey
    _key: ec.EllipticCurvePrivateKey

    @override
    def __repr__(self) -> str:
        """The public half's hint alone."""
        return f"PrivateKey({self.public.hint})"

    def sign(self, message: bytes) -> bytes:
        """The signature in DER, always the same one for the same message (RFC 6979)."""
        return self._key.sign(message, ec.ECDSA(_HASHES[self._key.curve.name], deterministic_signing=True))


def load_private_key(path: Path) -> PrivateKey:
    """The key that signs, from PEM without a password.

    Raises:
        SigningError: when the file holds no such key.
        OSError: when it cannot be read.
    """
    with path.open("rb") as data:
        text = data.read(_LARGEST_KEY_FILE_BYTES)
    try:
        key = serialization.load_pem_private_key(text, None)
    except TypeError as error:
        raise SigningError(f"{path}: the key has a password; take it away with `openssl pkey`") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path}: no private key in PEM; make one as docs/signing.md says") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise SigningError(f"{path}: not a key on an elliptic curve; signing needs {_CURVES}")
    return PrivateKey(_describe(key.public_key()), key)


def load_public_keys(path: Path) -> tuple[PublicKey, ...]:
    """The keys that are trusted, one or several in one PEM file.

    Raises:
        SignatureInvalidError: when the file cannot be read, or holds anything but keys that could have signed: then
            nothing can be verified.
    """
    try:
        with path.open("rb") as data:
            text = data.read(_LARGEST_KEY_FILE_BYTES)
    except OSError as error:
        raise SignatureInvalidError(f"the public key cannot be read: {format_os_error(error)}") from error
    if b"PRIVATE KEY" in text:
        raise SignatureInvalidError(f"{path}: a private key; give the public half alone and keep the other to yourself")
    blocks = _PUBLIC_KEY.findall(text)
    if not blocks or len(blocks) != text.count(b"-----BEGIN "):
        raise SignatureInvalidError(
            f"{path}: holds something else than public keys in PEM; make one with `openssl pkey -pubout`"
        )
    return tuple(_parse_public_key(block, path) for block in blocks)


def _parse_public_key(block: bytes, path: Path) -> PublicKey:
    try:
        key = serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureInvalidError(f"{path}: a public key in it is damaged; copy it again") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise SignatureInvalidError(f"{path}: a key in it is on no elliptic curve that is taken: {_CURVES}")
    return _describe(key)


def _describe(key: ec.EllipticCurvePublicKey) -> PublicKey:
    text = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(hashlib.sha256(text).hexdigest(), key)
