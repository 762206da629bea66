"""Runs an image with runc as Kubernetes does under its strictest policy: read-only root, no capabilities, own user."""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.buildah import Buildah

_STOP_SECONDS = 15
_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


@dataclass(frozen=True)
class ImageRoot:
    """An image whose file system is mounted.

    Attributes:
        path: the mounted root.
        config: the image's own `config`: Entrypoint, Env, User.
    """

    path: Path
    config: dict[str, Any]

    def bundle(
        self, folder: Path, arguments: Sequence[str], volumes: dict[str, Path], *, entrypoint: Sequence[str] = ()
    ) -> Path:
        """Write what runc runs; the network is this machine's.

        Args:
            folder: gets config.json.
            arguments: of the entrypoint.
            volumes: path in the container -> writable folder here. The root is read-only, /tmp is memory.
            entrypoint: instead of the image's.
        """
        user, _, group = self.config["User"].partition(":")
        process = {
            "user": {"uid": int(user), "gid": int(group)},
            "args": [*(entrypoint or self.config["Entrypoint"]), *arguments],
            "env": self.config["Env"],
            "cwd": "/",
            "capabilities": {kind: [] for kind in _CAPABILITY_SETS},
            "noNewPrivileges": True,
        }
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},  # noqa: S108
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},  # noqa: S108
            *(
                {"destination": at, "type": "bind", "source": str(source), "options": ["bind"]}
                for at, source in volumes.items()
            ),
        ]
        spec = {
            "ociVersion": "1.0.2",
            "process": process,
            "root": {"path": str(self.path), "readonly": True},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(spec))
        return folder


@contextmanager
def mounted(buildah: Buildah, image: str) -> Iterator[ImageRoot]:
    """The image's root, as long as the block runs."""
    container = buildah.read("from", "--pull-never", f"--name={_new_name()}", image)
    try:
        config = json.loads(buildah.read("inspect", "--type=image", image))["OCIv1"]["config"]
        yield ImageRoot(Path(buildah.read("mount", container)), config)
    finally:
        buildah.read("rm", container)


def run_to_end(bundle: Path) -> subprocess.CompletedProcess[str]:
    """Run the bundle and wait for its end."""
    return subprocess.run(_runc(bundle, _new_name()), check=False, capture_output=True, text=True)


@contextmanager
def running(bundle: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the bundle while the block runs; afterwards SIGTERM, and SIGKILL after 15 s; read its `returncode` then."""
    name = _new_name()
    with log.open("wb") as out:
        process = subprocess.Popen(_runc(bundle, name), stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        _stop(process, name)


def _stop(process: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while process.poll() is None:
        word = "TERM" if time.monotonic() < deadline else "KILL"
        # Refused until runc has made the container, and again once it has gone.
        subprocess.run(["runc", "kill", name, word], check=False, capture_output=True)
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            continue


def _runc(bundle: Path, name: str) -> list[str]:
    return ["runc", "run", f"--bundle={bundle}", name]


def _new_name() -> str:
    return f"modelpress-{secrets.token_hex(6)}"
