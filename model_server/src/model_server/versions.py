"""Which version folders count, and which versions should be served. Pure but for `read_versions`."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from model_server.errors import LoadError

MODEL_FILE = "model.tflite"
SIGNATURES_FILE = "saved_model.pb"
GOLDEN_FOLDER = Path("assets.extra/golden")
GOLDEN_DOCUMENT = GOLDEN_FOLDER / "golden.json"
GOLDEN_INPUTS = GOLDEN_FOLDER / "inputs.npy"
GOLDEN_OUTPUTS = GOLDEN_FOLDER / "outputs.npy"
EXAMPLE_SPEC = Path("assets.extra/example_spec.json")
WARMUP_REQUESTS = Path("assets.extra/tf_serving_warmup_requests")
BATCHING_PARAMETERS = Path("batching_params.pbtxt")
_FILES = (
    *(Path(MODEL_FILE), Path(SIGNATURES_FILE), GOLDEN_DOCUMENT, GOLDEN_INPUTS, GOLDEN_OUTPUTS),
    *(EXAMPLE_SPEC, WARMUP_REQUESTS, BATCHING_PARAMETERS),
)
LARGEST_VERSION = 2**63 - 1
# The version of a base path that is itself a version folder.
OWN_VERSION = 1

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class VersionFolder:
    """One version on disk; the fingerprint (name, bytes, change time) changes when its files do."""

    version: int
    path: Path
    fingerprint: Fingerprint

    @property
    def complete(self) -> bool:
        """Whether every file that belongs to the others is there; a folder that is still being copied is not."""
        present = {name for name, _, _ in self.fingerprint}
        golden = {str(GOLDEN_DOCUMENT), str(GOLDEN_INPUTS), str(GOLDEN_OUTPUTS)}
        return MODEL_FILE in present and (not golden & present or golden <= present)

    def list_news(self, before: "VersionFolder") -> list[str]:
        """The files that were not there before or were others; those that have gone are no news."""
        return [file[0] for file in self.fingerprint if file not in before.fingerprint]


def parse_version(name: str) -> int | None:
    """The version that a folder's name means (leading zeros are allowed), or None."""
    if not (name.isascii() and name.isdigit()):
        return None
    version = int(name)
    return version if version <= LARGEST_VERSION else None


def read_versions(base_path: Path) -> dict[int, VersionFolder]:
    """Every version folder below the base path; a base path without any that holds a model itself is version 1.

    Raises:
        LoadError: The base path cannot be listed.
    """
    try:
        children = sorted(child for child in base_path.iterdir() if child.is_dir())
        holds_model = (base_path / MODEL_FILE).is_file()
    except OSError as error:
        raise LoadError(f"Could not find base path {base_path}: {error.strerror}.") from error
    folders = {}
    for child in children:
        version = parse_version(child.name)
        if version is not None:
            folders[version] = VersionFolder(version, child, _read_fingerprint(child))
    if not folders and holds_model:
        return {OWN_VERSION: VersionFolder(OWN_VERSION, base_path, _read_fingerprint(base_path))}
    return folders


def read_again(folder: VersionFolder) -> VersionFolder:
    """The folder as it is now."""
    return replace(folder, fingerprint=_read_fingerprint(folder.path))


def _read_fingerprint(folder: Path) -> Fingerprint:
    found = []
    for name in _FILES:
        try:
            stat = (folder / name).stat()
        except OSError:
            continue
        found.append((str(name), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions on disk are served: the `count` latest ones, all, or exactly `versions`."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()

    def choose(self, candidates: AbstractSet[int]) -> frozenset[int]:
        """Those of the candidates that should be served."""
        if self.kind == "all":
            return frozenset(candidates)
        if self.kind == "specific":
            return self.versions & candidates
        return frozenset(sorted(candidates)[-max(self.count, 1) :])


LATEST = VersionPolicy()


@dataclass(frozen=True)
class Changes:
    """What should be served, what of it is to be loaded (the highest first), and what is loaded besides."""

    aspired: frozenset[int]
    load: tuple[int, ...]
    unload: tuple[int, ...]


def plan_changes(folders: dict[int, VersionFolder], loaded: frozenset[int], policy: VersionPolicy = LATEST) -> Changes:
    """Aspire to what the policy chooses; a loaded version is given up only for another one, or when all are gone."""
    candidates = {v for v, folder in folders.items() if folder.complete} | (loaded & folders.keys())
    aspired = policy.choose(candidates)
    if not aspired:
        # Only half-copied folders, or none that the policy wants: what is loaded stays.
        return Changes(aspired, (), () if folders else tuple(sorted(loaded)))
    return Changes(aspired, tuple(sorted(aspired - loaded, reverse=True)), tuple(sorted(loaded - aspired)))
