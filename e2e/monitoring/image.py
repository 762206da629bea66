"""Builds the image of Prometheus into the cache, and nothing when it is there already."""

from dataclasses import dataclass
from pathlib import Path

from cluster.images import write_archive
from images.archive import read_archive
from images.building import archive_path

from monitoring.programs import Tell, build_programs, read_digest, read_version

REPOSITORY = "localhost/prometheus"
# Where the published image has it too, so that the chart's pod fits both.
PROGRAM_IN_IMAGE = "bin/prometheus"


@dataclass(frozen=True)
class PrometheusImage:
    """What was built.

    Attributes:
        name: with its tag, `localhost/prometheus:<version>-<digits of what it is built from>`.
        archive: a docker-archive for containerd.
        programs: folder on this machine with prometheus and promtool; the image holds the first alone.
    """

    name: str
    archive: Path
    programs: Path


def write_image(tell: Tell) -> PrometheusImage:
    """The image, built when the cache has none of that name. Needs no rights.

    Raises:
        MonitoringError: when it cannot be built.
    """
    image = PrometheusImage(
        f"{REPOSITORY}:{read_version()}-{read_digest()}", archive_path("prometheus"), build_programs(tell)
    )
    found = read_archive(image.archive)
    if found is None or image.name not in found.names:
        image.archive.parent.mkdir(parents=True, exist_ok=True)
        partial = image.archive.with_name(image.archive.name + ".partial")
        contents = {PROGRAM_IN_IMAGE: (image.programs / "prometheus").read_bytes()}
        write_archive(partial, image.name, contents, [f"/{PROGRAM_IN_IMAGE}"])
        partial.replace(image.archive)
        tell(f"{image.name}: {image.archive.stat().st_size / 1e6:.0f} MB")
    return image
