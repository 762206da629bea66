"""Programs of a Go module, built once into a cache that is keyed by what they are built from."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.places import cache_folder
from cluster.processes import ClusterError
from cluster.toolchain import GO_ENVIRONMENT, find_go

from images.errors import ImageError
from images.steps import Steps, Tell


@dataclass(frozen=True)
class GoModule:
    """A module whose tools are the programs.

    Attributes:
        name: of the build, for progress, errors and its log.
        folder: where go.mod and go.sum are.
        programs: what the build leaves.
        takes: how long, in words.
        linker_flags: as `go build -ldflags` takes them.
    """

    name: str
    folder: Path
    programs: tuple[str, ...]
    takes: str
    linker_flags: Sequence[str] = ("-s", "-w")

    @property
    def digest(self) -> str:
        """Eight hex digits that change with the version of everything that the programs are built from."""
        files = (self.folder / "go.mod", self.folder / "go.sum")
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]

    def build_program(self, tell: Tell) -> Path:
        """The first of the programs, in a cache of the build's name, built when it is not there.

        Raises:
            ImageError: when there is no Go, or the build fails.
        """
        cache = cache_folder() / self.name
        return self.build(cache, Steps(cache / "logs", tell)) / self.programs[0]

    def build(self, cache: Path, steps: Steps) -> Path:
        """The folder with the programs, `cache` / digest, built when they are not there.

        Raises:
            ImageError: when there is no Go, or the build fails.
        """
        target = cache / self.digest
        if all((target / program).exists() for program in self.programs):
            return target
        half = target.with_name(f".{target.name}.{os.getpid()}")
        half.mkdir(parents=True, exist_ok=True)
        try:
            go = find_go(steps.tell)
            steps.tell(f"building {self.name} from Go modules ({self.takes}, once)")
            flags = " ".join(self.linker_flags)
            command: list[str | Path] = [go, "build", "-C", self.folder, "-o", f"{half}/", "-ldflags", flags, "tool"]
            steps.run(self.name, command, os.environ | GO_ENVIRONMENT)
            shutil.rmtree(target, ignore_errors=True)
            half.rename(target)
        except ClusterError as error:
            raise ImageError(str(error)) from error
        finally:
            shutil.rmtree(half, ignore_errors=True)
        return target
