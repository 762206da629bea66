"""buildah with a storage of its own below the cache folder: the machine's images are neither read nor written."""

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from images.errors import ImageError
from images.steps import Steps, require_program

# Stages that `--layers` keeps so that a build starts from them. Two targets leave six; old ones are dropped together.
MOST_INTERMEDIATES = 24
_LOOPBACK = ("localhost:", "127.0.0.1:", "[::1]:")


@dataclass(frozen=True)
class Buildah:
    """One storage.

    Attributes:
        cache: folder that holds it.
        steps: runs what takes long.
        driver: `overlay`, or `vfs` where the kernel refuses overlay mounts.
    """

    cache: Path
    steps: Steps
    driver: str

    @property
    def run_root(self) -> Path:
        """Where the counts of mounts are: a folder that a reboot empties, as it ends the mounts."""
        identity = hashlib.sha256(str(self.cache.resolve()).encode()).hexdigest()[:8]
        return Path("/run") / f"modelpress-images-{identity}"

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line of a buildah command."""
        options = [
            f"--root={self.cache / 'storage'}",
            f"--runroot={self.run_root}",
            f"--storage-driver={self.driver}",
        ]
        return ["buildah", *options, *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        """This process's, with chroot isolation, which needs no cgroups, and temporary files on the cache's disk."""
        temporary = self.cache / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return os.environ | {"BUILDAH_ISOLATION": "chroot", "TMPDIR": str(temporary)}

    def read(self, *arguments: str | Path) -> str:
        """The standard output of a short command.

        Raises:
            ImageError: with buildah's words.
        """
        done = subprocess.run(
            self.command(*arguments), check=False, capture_output=True, text=True, env=self.environment()
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ImageError(f"buildah {arguments[0]} failed ({last}): remove {self.cache} and run again")
        return done.stdout.strip()

    def run(self, name: str, *arguments: str | Path) -> None:
        """Run a long command under that name."""
        self.steps.run(name, self.command(*arguments), self.environment())

    def has(self, image: str) -> bool:
        """Whether the storage holds the image."""
        return image in self._names()

    def layer_count(self, image: str) -> int:
        """How many layers the image has."""
        return len(json.loads(self.read("inspect", "--type=image", image))["OCIv1"]["rootfs"]["diff_ids"])

    def drop_leftovers(self) -> None:
        """Remove the containers of builds that were killed; only for the one who may build now."""
        for name in self.read("containers", "--format={{.ContainerName}}").splitlines():
            if name.endswith("working-container"):
                self.read("rm", name)

    def drop_older(self, image: str) -> None:
        """Remove the other tags of the image, and the intermediate stages when they have become many."""
        repository = image.rpartition(":")[0]
        for name in self._names():
            if name != image and name.rpartition(":")[0] == repository:
                self.read("rmi", name)
        if len(self.read("images", "--quiet", "--filter=dangling=true").splitlines()) > MOST_INTERMEDIATES:
            self.read("rmi", "--prune")

    def write_archive(self, image: str, archive: Path) -> None:
        """Write a docker-archive; the file appears whole or not at all."""
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_name(archive.name + ".partial")
        partial.unlink(missing_ok=True)
        try:
            self.run(f"archive of {archive.stem}", "push", "--quiet", image, f"docker-archive:{partial}:{image}")
            partial.replace(archive)
        finally:
            partial.unlink(missing_ok=True)

    def push(self, image: str, reference: str) -> None:
        """Push to a registry; without TLS where that is on this machine's loopback."""
        plain = reference.startswith(_LOOPBACK)
        options = ["--quiet", *(["--tls-verify=false"] if plain else [])]
        self.run(f"push of {reference.replace('/', ' ')}", "push", *options, image, f"docker://{reference}")

    def _names(self) -> list[str]:
        return self.read("images", "--format={{.Name}}:{{.Tag}}").splitlines()


def open_storage(cache: Path, steps: Steps) -> Buildah:
    """The storage below that folder, made when it is not there.

    Raises:
        ImageError: when this is not root, or buildah is missing or fails.
    """
    if os.geteuid() != 0:
        raise ImageError("building images needs root: run as root, or take the published images")
    require_program("buildah")
    cache.mkdir(parents=True, exist_ok=True)
    overlay = Buildah(cache, steps, "overlay")
    try:
        overlay.read("info")
    except ImageError:
        vfs = Buildah(cache, steps, "vfs")
        vfs.read("info")
        return vfs
    return overlay
