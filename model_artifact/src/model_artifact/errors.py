"""Errors of the contract.

ArtifactError
├── InvalidRecipeError       a recipe that cannot be built, and what to change
├── CorruptArtifactError     bytes that are not what the manifest says
├── DigestMismatchError      a sound artifact, but not the one that was asked for
├── SignatureInvalidError    a signature that does not vouch for all of the model, or a key that cannot tell
├── SignatureMissingError    a model that nobody signed, where signatures are asked for
├── SigningError             a key that cannot sign, or a model that cannot be signed
├── UnpackableError          a version folder that cannot be packed
├── LocationError            the name of a place that is written wrongly
└── StoreAccessError         an object store that cannot be used as things are; it may be mended meanwhile
    ├── ObjectMissingError   no such bucket, or no such object
    ├── AccessDeniedError    no credentials, wrong ones, or ones that may not do this
    └── UnreachableError     the endpoint does not answer, or not as an S3 store does
"""


class ArtifactError(Exception):
    """Something about a recipe or an artifact that only its author can mend; the message is one sentence."""


class InvalidRecipeError(ArtifactError):
    """The recipe names something unknown or out of range."""


class CorruptArtifactError(ArtifactError):
    """The archive is truncated, altered or not one of ours; the message names the entry or the tensor."""


class DigestMismatchError(ArtifactError):
    """The archive is intact but its content digest is not the one that was asked for."""


class SignatureInvalidError(ArtifactError):
    """The signature is damaged, by another key, of another model or of a part; or what should verify it is no key."""


class SignatureMissingError(ArtifactError):
    """There is no signature where one was looked for."""


class SigningError(ArtifactError):
    """The key cannot sign, or the model cannot be signed."""


class UnpackableError(ArtifactError):
    """The folder holds nothing that can be packed, or two things that contradict each other."""


class LocationError(ArtifactError):
    """The name of a place has another scheme than ours, or a bucket or key that we do not write."""


class StoreAccessError(ArtifactError):
    """An object store cannot be used as things are; the same call may succeed later."""


class ObjectMissingError(StoreAccessError):
    """There is no such bucket, or no such object in it."""


class AccessDeniedError(StoreAccessError):
    """There are no credentials, or the store refuses them, or does not allow them this."""


class UnreachableError(StoreAccessError):
    """The endpoint does not answer in time, breaks off, or answers otherwise than an S3 store."""
