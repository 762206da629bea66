"""Errors of the contract.

ArtifactError
├── InvalidRecipeError       a recipe that cannot be built, and what to change
├── CorruptArtifactError     bytes that are not what the manifest says
├── DigestMismatchError      a sound artifact, but not the one that was asked for
└── UnpackableError          a version folder that cannot be packed
"""


class ArtifactError(Exception):
    """Something about a recipe or an artifact that only its author can mend; the message is one sentence."""


class InvalidRecipeError(ArtifactError):
    """The recipe names something unknown or out of range."""


class CorruptArtifactError(ArtifactError):
    """The archive is truncated, altered or not one of ours; the message names the entry or the tensor."""


class DigestMismatchError(ArtifactError):
    """The archive is intact but its content digest is not the one that was asked for."""


class UnpackableError(ArtifactError):
    """The folder holds nothing that can be packed, or two things that contradict each other."""
