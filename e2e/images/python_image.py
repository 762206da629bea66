"""The image that ours stand on where none can be pulled: Debian's smallest system with Python."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from images.buildah import Buildah
from images.steps import require_program

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3")
# What debootstrap leaves of its work and of this machine, and what no program opens.
REMOVED = (
    "debootstrap",
    "etc/hostname",
    "etc/resolv.conf",
    # stale with every file's date the same; the images bring their own
    "usr/lib/python3*/**/__pycache__",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/log/*",
)
ENVIRONMENT = ("LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
_TAR = ("tar", "--sort=name", "--numeric-owner", "--mtime=@0", "--exclude=./dev/*")


def python_image_name(environment: Mapping[str, str]) -> str:
    """`PYTHON_IMAGE` of the environment; else the name of our own, whose tag changes with the recipe above."""
    recipe = repr((SUITE, PACKAGES, REMOVED, ENVIRONMENT, _TAR)).encode()
    return environment.get("PYTHON_IMAGE") or f"localhost/modelpress-python:{hashlib.sha256(recipe).hexdigest()[:12]}"


def write_python_image(buildah: Buildah, name: str) -> None:
    """Put our own base image into the storage under that name."""
    require_program("debootstrap")
    with TemporaryDirectory(dir=buildah.cache, prefix="debian-") as place:
        root, archive = Path(place, "root"), Path(place, "root.tar")
        packages = ",".join(PACKAGES)
        # What debootstrap mounts into the root goes away with the mount namespace, however it ends.
        apart = ["unshare", "--mount", "--propagation=private"]
        debootstrap = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(root)]
        buildah.steps.run("Debian base", [*apart, *debootstrap])
        for pattern in REMOVED:
            for path in list(root.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        buildah.steps.run("Debian base archive", [*_TAR, "-C", root, "-cf", archive, "."])
        container = buildah.read("from", "scratch")
        try:
            buildah.run("Debian base image", "add", container, archive, "/")
            buildah.read("config", *(f"--env={each}" for each in ENVIRONMENT), "--cmd=python3", container)
            buildah.read("commit", "--quiet", container, name)
        finally:
            buildah.read("rm", container)
    buildah.drop_older(name)
