"""The tree of the newest commit whose operator is not this one's: what a cluster runs that is upgraded to this tree.

Where there is no history (a source archive, a shallow clone) it is that of an earlier commit, kept beside the tests.
"""

import lzma
import subprocess
from dataclasses import dataclass
from pathlib import Path

from operator_play import ROOT

_OPERATOR = ("operator/src", "model_artifact/src")
_NEEDED = (*_OPERATOR, "crds", "charts", "examples")
_KEPT, _KEPT_COMMIT = Path(__file__).parent / "earlier" / "release.tar.xz", "38b9ef9"
"""Made by `git archive 38b9ef9 -- operator/src model_artifact/src crds charts examples | xz -9`."""


@dataclass(frozen=True)
class Release:
    """An earlier tree.

    Attributes:
        commit: which.
        folder: where it lies.
    """

    commit: str
    folder: Path

    @property
    def crd(self) -> Path:
        """Its CRD."""
        return self.folder / "crds" / "compressedmodels.yaml"

    @property
    def rules(self) -> Path:
        """The rights of its operator, as its chart grants them."""
        return self.folder / "charts" / "modelpress" / "templates" / "operator" / "_rules.tpl"

    def examples(self) -> list[Path]:
        """Its examples."""
        return sorted((self.folder / "examples").glob("*.yaml"))


def export_earlier_release(folder: Path) -> Release:
    """Write that tree into the folder."""
    commit = _find_commit()
    files = lzma.decompress(_KEPT.read_bytes()) if commit is None else _git("archive", commit, "--", *_NEEDED)
    subprocess.run(["tar", "--extract", f"--directory={folder}"], input=files, check=True)
    return Release(commit or _KEPT_COMMIT, folder)


def _find_commit() -> str | None:
    """The newest commit with another operator; None where git or its history has none."""
    try:
        commits = _git("log", "--format=%H", "--", *_OPERATOR).decode().split()
        return next((each for each in commits if _differs(each)), None)
    except (OSError, subprocess.CalledProcessError):
        return None


def _differs(commit: str) -> bool:
    done = subprocess.run(["git", "diff", "--quiet", commit, "--", *_OPERATOR], cwd=ROOT, check=False)
    return done.returncode == 1


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout
