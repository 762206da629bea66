"""Reads the manifest of an archive that may be hostile: what parsing it costs is bounded before it is parsed."""

from pydantic import ValidationError

from model_artifact.archive_reader import ArchiveReader
from model_artifact.consistency import check_consistent
from model_artifact.errors import CorruptArtifactError
from model_artifact.manifest import LARGEST_MANIFEST_BYTES, MANIFEST_ENTRY, Manifest
from model_artifact.naming import format_name

FREE_MANIFEST_BYTES = 2 * 2**20
LARGEST_MANIFEST_EXPANSION = 64
"""A manifest that is longer than those bytes is at most this many times as long as what it was Deflated to."""
MOST_OBJECTS = 2**15
MOST_VALUES = 2**17
"""Each value may be an error that the parser remembers, and each object several."""
_MOST_ERRORS = 100


def read_manifest(archive: ArchiveReader) -> Manifest:
    """The manifest of an open archive, found consistent with it.

    Raises:
        CorruptArtifactError: when it is missing or says something that no artifact says.
    """
    entry = archive.find(MANIFEST_ENTRY, LARGEST_MANIFEST_BYTES)
    if entry.size_bytes > FREE_MANIFEST_BYTES + LARGEST_MANIFEST_EXPANSION * entry.stored_bytes:
        raise CorruptArtifactError(f"entry {MANIFEST_ENTRY}: inflates to more than any manifest does")
    text = archive.read(MANIFEST_ENTRY, entry.size_bytes)
    # Commas inside of strings are counted too: no name of ours has one, and counting must cost nothing.
    if text.count(b"{") > MOST_OBJECTS or text.count(b",") > MOST_VALUES:
        raise CorruptArtifactError(f"{MANIFEST_ENTRY}: has more fields than any manifest; pack a smaller model")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise CorruptArtifactError(f"{MANIFEST_ENTRY}: {_format_problem(error)}") from error
    check_consistent(manifest, archive)
    return manifest


def _format_problem(error: ValidationError) -> str:
    """The first thing that is wrong; of very many, which are dear to list, only how many they are."""
    if error.error_count() > _MOST_ERRORS:
        return f"{error.error_count()} of its fields are not what a manifest holds"
    problem = error.errors(include_url=False, include_input=False)[0]
    field = format_name(".".join(str(part) for part in problem["loc"]))
    return f"{field}: {format_name(problem['msg'])}"
