"""Images into the node: archives that containerd imports, and the one image that the node itself needs."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from cluster.places import Places
from cluster.processes import ClusterError

PAUSE_IMAGE = "localhost/pause:1"


def import_image(places: Places, archive: Path) -> None:
    """Make the images of an archive (docker-archive or OCI) known to the node.

    Raises:
        ClusterError: with containerd's words.
    """
    command = [
        "ctr",
        "--address",
        str(places.containerd_socket),
        "--namespace",
        "k8s.io",
        "images",
        "import",
        str(archive),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{archive} could not be imported: {done.stderr.strip()}")


def forget_half_imports(places: Places) -> None:
    """Remove what imports had written when containerd ended under them. It must not run."""
    content = places.state / "containerd" / "root" / "io.containerd.content.v1.content"
    shutil.rmtree(content / "ingest", ignore_errors=True)


def pause_archive(places: Places) -> Path:
    """The sandbox image: the static program `pause` and nothing else."""
    target = places.state / "pause.tar"
    if not target.exists():
        write_archive(target, PAUSE_IMAGE, {"pause": (places.binaries / "pause").read_bytes()}, ["/pause"])
    return target


def write_archive(target: Path, name: str, programs: dict[str, bytes], entrypoint: list[str]) -> None:
    """A docker-archive with one layer that holds executable files, run as a user without rights.

    Args:
        target: the file to write.
        name: of the image, with its tag.
        programs: path in the image -> contents.
        entrypoint: what a container runs.
    """
    layer = _tar(programs, 0o755)
    digest = hashlib.sha256(layer).hexdigest()
    # Containerd goes on with a half-imported file of the same name, whichever archive that came from.
    layer_name = f"{digest}.tar"
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "User": "65534:65534"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    listing = [{"Config": "config.json", "RepoTags": [name], "Layers": [layer_name]}]
    documents = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(listing).encode()}
    target.write_bytes(_tar({layer_name: layer, **documents}, 0o644))


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
