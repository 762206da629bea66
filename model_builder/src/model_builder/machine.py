"""What a result was measured with: processor, cores, memory, versions, commit and sources."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from model_artifact.manifest import Surroundings

_CPU_FACTS = Path("/proc/cpuinfo")
_GIT_SECONDS = 10
_OURS = ("keras", "numpy", "modelpress-builder", "modelpress-artifact")
_BACKENDS = {"tensorflow": ("tensorflow-cpu", "tensorflow"), "jax": ("jax", "jaxlib")}
EXPORTING = (*_BACKENDS["tensorflow"], "ai-edge-litert", *_OURS)
"""The packages that make an artifact of what was trained."""


@cache  # what is loaded stays what it is when the files change under a training of hours
def read_surroundings(backend: str, accelerator: str | None) -> Surroundings:
    """What a training of this process runs on.

    Args:
        backend: that Keras runs on.
        accelerator: that it computes on; absent: the processor.
    """
    return Surroundings(
        backend=backend,
        versions={**read_versions((*_BACKENDS.get(backend, ()), *_OURS)), "platform": platform.platform(terse=True)},
        hardware=read_hardware(),
        accelerator=accelerator,
        commit=read_commit(),
        source_digest=digest_sources(),
    )


def explain_repeating(trained_on: Sequence[Surroundings]) -> str:
    """How far the same recipe gives the weights of such a training again."""
    if any(each.accelerator for each in trained_on):
        return "up to the rounding of sums, whose order an accelerator does not keep"
    if len(trained_on) > 1:
        return "up to the rounding of sums: it was taken up with other versions or on another machine"
    return "the same weights on the same machine with the same versions; elsewhere up to the rounding of sums"


def read_versions(packages: Iterable[str]) -> dict[str, str]:
    """Python's, the architecture, and those of the packages that are installed."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # only one of tensorflow and tensorflow-cpu is there
            continue
    return found


def read_hardware() -> str:
    """Processor, usable cores and memory in one line."""
    cores = len(os.sched_getaffinity(0))
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{read_processor()}, {cores} cores, {memory_gib:.0f} GiB"


def read_processor() -> str:
    """The processor's own name; the architecture where it has none."""
    try:
        lines = _CPU_FACTS.read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def read_commit() -> str | None:
    """The commit of the checkout that this module is part of, with `+` when files differ; None outside of one."""
    folder = Path(__file__).parent
    if _ask_git(folder, "ls-files", "--error-unmatch", "--", __file__) is None:
        return None  # a copy, which may lie in a checkout all the same
    head = _ask_git(folder, "rev-parse", "--short=12", "HEAD")
    return f"{head}+" if _ask_git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".") else head


def digest_sources() -> str:
    """`sha256:` and a digest of this package's and the artifact's modules: the same code gives the same."""
    import model_artifact

    folders = (Path(__file__).parent, Path(model_artifact.__file__).parent)
    files = [(folder.name, path.relative_to(folder), path) for folder in folders for path in folder.rglob("*.py")]
    whole = hashlib.sha256()
    for package, name, path in sorted(files):
        whole.update(f"{package}/{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _ask_git(folder: Path, *arguments: str) -> str | None:
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=_GIT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
