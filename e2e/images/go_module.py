"""Programs of a Go module, built once into a cache that is keyed by what they are built from."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from cluster.made_once import make_once
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
        replaced: files of the packages that it is built from, by their path under `vendor`, and what stands in their
            place.
    """

    name: str
    folder: Path
    programs: tuple[str, ...]
    takes: str
    linker_flags: Sequence[str] = ("-s", "-w")
    replaced: Mapping[str, Path] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Eight hex digits that change with the version of everything that the programs are built from."""
        files = (self.folder / "go.mod", self.folder / "go.sum", *self.replaced.values())
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

        def build(half: Path) -> None:
            go = find_go(steps.tell)
            steps.tell(f"building {self.name} from Go modules ({self.takes}, once)")
            self._build_into(half, go, steps)

        try:
            return make_once(cache / self.digest, self.programs, build, steps.tell)
        except ClusterError as error:
            raise ImageError(str(error)) from error

    def _build_into(self, folder: Path, go: str, steps: Steps) -> None:
        environment = os.environ | GO_ENVIRONMENT
        options = ["-o", f"{folder}/", "-ldflags", " ".join(self.linker_flags), "tool"]
        if not self.replaced:
            steps.run(self.name, [go, "build", "-C", self.folder, *options], environment)
            return
        with TemporaryDirectory(prefix="modelpress-go-") as copy:
            for name in ("go.mod", "go.sum"):
                shutil.copy(self.folder / name, copy)
            steps.run(f"sources of {self.name}", [go, "mod", "vendor", "-C", copy], environment)
            for path, stand_in in self.replaced.items():
                shutil.copy(stand_in, Path(copy, "vendor", path))
            vendored = environment["GOFLAGS"].replace("-mod=readonly", "-mod=vendor")
            steps.run(self.name, [go, "build", "-C", copy, *options], environment | {"GOFLAGS": vendored})
