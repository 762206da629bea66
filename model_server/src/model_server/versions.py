"""Which version folders count, and which version should be served. Pure but for `read_versions`."""

from dataclasses import dataclass
from pathlib import Path

from model_server.errors import LoadError

MODEL_FILE = "model.tflite"
SIGNATURES_FILE = "saved_model.pb"
GOLDEN_FOLDER = Path("assets.extra/golden")
GOLDEN_DOCUMENT = GOLDEN_FOLDER / "golden.json"
GOLDEN_INPUTS = GOLDEN_FOLDER / "inputs.npy"
GOLDEN_OUTPUTS = GOLDEN_FOLDER / "outputs.npy"
_FILES = (Path(MODEL_FILE), Path(SIGNATURES_FILE), GOLDEN_DOCUMENT, GOLDEN_INPUTS, GOLDEN_OUTPUTS)
LARGEST_VERSION = 2**63 - 1

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


def parse_version(name: str) -> int | None:
    """The version that a folder's name means (leading zeros are allowed), or None."""
    if not (name.isascii() and name.isdigit()):
        return None
    version = int(name)
    return version if version <= LARGEST_VERSION else None


def read_versions(base_path: Path) -> dict[int, VersionFolder]:
    """Every version folder below the base path.

    Raises:
        LoadError: The base path cannot be listed.
    """
    try:
        children = sorted(child for child in base_path.iterdir() if child.is_dir())
    except OSError as error:
        raise LoadError(f"Could not find base path {base_path}: {error.strerror}.") from error
    folders = {}
    for child in children:
        version = parse_version(child.name)
        if version is not None:
            folders[version] = VersionFolder(version, child, _read_fingerprint(child))
    return folders


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
class Changes:
    """What to load, if anything, and what to unload once `aspired` is available."""

    aspired: int | None
    load: bool
    unload: tuple[int, ...]


def plan_changes(folders: dict[int, VersionFolder], loaded: frozenset[int]) -> Changes:
    """Aspire to the highest version; a loaded one is given up only for it, or when every folder is gone."""
    candidates = {v for v, folder in folders.items() if folder.complete} | (loaded & folders.keys())
    if not candidates:
        # Only half-copied folders: what is loaded stays.
        return Changes(None, load=False, unload=() if folders else tuple(sorted(loaded)))
    aspired = max(candidates)
    return Changes(aspired, load=aspired not in loaded, unload=tuple(sorted(loaded - {aspired})))
