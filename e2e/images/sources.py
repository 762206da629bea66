"""Which files an image is built from, and the tag that names them. The Dockerfile is the only list of them."""

import hashlib
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from images.errors import ImageError

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("operator", "builder", "server")
TAG_DIGITS = 12
_ALWAYS = ("Dockerfile", ".dockerignore")


def image_name(target: str, tag: str) -> str:
    """The local name of a built image."""
    return f"localhost/modelpress-{target}:{tag}"


def read_tag(target: str, python_image: str, root: Path = ROOT) -> str:
    """Twelve hex digits that change with the Dockerfile and with what goes into the target, and with nothing else.

    Args:
        target: a stage of the Dockerfile.
        python_image: the name of the image that it stands on.
        root: the repository.

    Raises:
        ImageError: when the Dockerfile has no such target, or copies a path that does not exist.
    """
    copied = parse_copied_paths((root / "Dockerfile").read_text(), target)
    digest = hashlib.sha256(python_image.encode())
    for path in sorted({file for name in (*_ALWAYS, *copied) for file in _files(root / name)}):
        executable = os.access(path, os.X_OK)
        digest.update(f"\0{path.relative_to(root)}\0{executable:d}{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:TAG_DIGITS]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from (each for each in path.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
    else:
        raise ImageError(f"the Dockerfile copies {path}, which does not exist: correct the one or the other")


def parse_copied_paths(dockerfile: str, target: str) -> list[str]:
    """What the target copies from the repository, itself or through the stages that it stands on or copies from.

    Raises:
        ImageError: when there is no such target.
    """
    stages = _parse_stages(dockerfile)
    if target not in stages:
        raise ImageError(f"there is no image `{target}`: choose from {', '.join(TARGETS)}")
    found: list[str] = []
    waiting, seen = [target], {target}
    while waiting:
        parents, paths = stages[waiting.pop()]
        found += paths
        new = [parent for parent in parents if parent in stages and parent not in seen]
        seen.update(new)
        waiting += new
    return sorted(set(found))


def _parse_stages(dockerfile: str) -> Mapping[str, tuple[list[str], list[str]]]:
    """For each stage the names that it stands on or copies from, and the paths of the repository that it copies."""
    stages: dict[str, tuple[list[str], list[str]]] = {}
    parents: list[str] = []
    paths: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        match line.split(maxsplit=1):
            case ["FROM", rest]:
                parent, _, name = rest.partition(" AS ")
                parents, paths = [parent.strip()], []
                stages[name.strip()] = parents, paths
            case ["COPY", rest]:
                words = shlex.split(rest)
                origin = [word.removeprefix("--from=") for word in words if word.startswith("--from=")]
                parents += origin
                paths += [] if origin else [word for word in words[:-1] if not word.startswith("--")]
    return stages
