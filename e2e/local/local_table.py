"""The table of the local chain, and the picture in the terminal. Pure: facts in, text out."""

from dataclasses import dataclass

import numpy as np
from local_measure import Measured
from numpy.typing import NDArray

from model_artifact.inspection import ArtifactFacts


@dataclass(frozen=True)
class Row:
    """One model: its artifact and how its server behaved."""

    name: str
    facts: ArtifactFacts
    measured: Measured


HEADER = (
    "model",
    "alpha",
    "bits",
    "size MB",
    "bits/weight",
    "zeros %",
    "accuracy % (float)",
    "REST p50 ms",
    "p95 ms",
    "gRPC p95 ms",
    "CPU ms/req",
    "RSS MiB",
    "ready s",
)


def format_rows(rows: list[Row]) -> str:
    """One line a model under a header."""
    cells = [HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    provenance = row.facts.manifest.content.provenance
    assert provenance is not None  # noqa: S101
    compression, quality = provenance.recipe.compression, provenance.quality
    return (
        row.name,
        f"{compression.alpha:g}",
        str(compression.bits),
        f"{row.facts.size_bytes / 1e6:.3f}",
        f"{row.facts.bits_per_weight:.2f}",
        f"{row.facts.zeros_percent:.1f}",
        f"{quality.deployed:.2f} ({quality.float_model:.2f})" if quality else "untrained",
        f"{row.measured.rest_p50_milliseconds:.2f}",
        f"{row.measured.rest_p95_milliseconds:.2f}",
        f"{row.measured.grpc_p95_milliseconds:.2f}",
        f"{row.measured.cpu_milliseconds_per_request:.2f}",
        f"{row.measured.resident_mebibytes:.0f}",
        f"{row.measured.seconds_to_ready:.1f}",
    )


def format_savings(compressed: Row, baseline: Row) -> str:
    """What compression saved, as ratios baseline : compressed of this one run."""
    small, large = compressed.measured, baseline.measured
    ratios = {
        "size": baseline.facts.size_bytes / compressed.facts.size_bytes,
        "REST p95": large.rest_p95_milliseconds / small.rest_p95_milliseconds,
        "gRPC p95": large.grpc_p95_milliseconds / small.grpc_p95_milliseconds,
        "CPU a request": large.cpu_milliseconds_per_request / small.cpu_milliseconds_per_request,
        "memory": large.resident_mebibytes / small.resident_mebibytes,
    }
    return f"{compressed.name} against {baseline.name}: " + ", ".join(
        f"{name} {ratio:.2f}x" for name, ratio in ratios.items()
    )


def format_picture(image: NDArray[np.uint8]) -> str:
    """The image as coloured half blocks, two pixel rows a line, for a terminal with 24-bit colour.

    Args:
        image: uint8, (height, width, 1 or 3), even height.
    """
    colours = np.broadcast_to(image, (*image.shape[:2], 3))
    lines = []
    for upper, lower in zip(colours[::2], colours[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m\u2580"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("  " + "".join(cells) + "\x1b[0m")
    return "\n".join(lines)
