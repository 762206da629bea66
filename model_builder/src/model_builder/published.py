"""Numbers that others published, with their sources; what our results stand beside. Data alone.

Paper 000: iterative prune-then-quantise on VGG-16 behind Kubernetes. Paper 004: the same idea on a CNN, as a grid.
"""

from dataclasses import dataclass
from typing import Literal

Setting = tuple[float, int]
"""(alpha, bits); paper 004 writes gamma for alpha."""

PAPER_000_ALPHAS = (0.0, 0.5, 1.25)
PAPER_000_BITS = (32, 8)
PAPER_000_SPARSITY_PERCENT: dict[Setting, float] = {
    (0.5, 32): 37.92,
    (1.25, 32): 74.76,
    (0.5, 8): 36.94,
    (1.25, 8): 74.49,
}
"""Table II."""
PAPER_000_MEGABYTES: dict[Setting, float] = {
    (0.0, 32): 123.51,
    (0.5, 32): 87.11,
    (1.25, 32): 55.80,
    (0.0, 8): 32.50,
    (0.5, 8): 32.12,
    (1.25, 8): 22.09,
}
"""Table III."""
PAPER_000_ACCURACY_PERCENT: dict[Setting, float] = {
    (0.0, 32): 81.58,
    (0.5, 32): 79.39,
    (1.25, 32): 79.53,
    (0.0, 8): 79.76,
    (0.5, 8): 80.77,
    (1.25, 8): 79.31,
}
"""Table IV."""

PAPER_004_GAMMAS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)
PAPER_004_BITS = (32, 16, 8, 4, 3)
PAPER_004_LEARNING_RATES = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1)
PAPER_004_BASELINE_PERCENT = 87.21


@dataclass(frozen=True)
class GridCell:
    """A cell of paper 004's table I: the best over all its learning rates and epochs, by test accuracy.

    Attributes:
        accuracy_percent: on the test images.
        density_percent: share of weights that are not zero, in that epoch.
    """

    accuracy_percent: float
    density_percent: float


_TABLE_I = {
    0.0: ((87.21, 100.00), (86.84, 73.55), (62.15, 99.93), (10.95, 100.00), (12.05, 100.00)),
    0.125: ((83.74, 18.64), (83.76, 14.72), (84.04, 11.22), (83.85, 19.69), (74.95, 33.00)),
    0.25: ((84.49, 8.04), (84.48, 16.38), (83.03, 22.66), (81.89, 14.91), (76.43, 31.71)),
    0.375: ((84.42, 6.58), (83.61, 6.56), (84.78, 8.68), (79.75, 12.53), (76.29, 25.05)),
    0.5: ((83.33, 6.29), (83.34, 15.22), (83.58, 13.99), (80.74, 8.50), (76.00, 22.29)),
    0.625: ((83.20, 12.09), (83.04, 5.45), (83.41, 7.42), (79.20, 6.93), (75.60, 18.60)),
    0.75: ((82.68, 5.81), (82.72, 7.06), (82.47, 12.78), (79.34, 7.11), (75.69, 13.43)),
}
PAPER_004_GRID: dict[Setting, GridCell] = {
    (gamma, bits): GridCell(*cell)
    for gamma, row in _TABLE_I.items()
    for bits, cell in zip(PAPER_004_BITS, row, strict=True)
}

_TABLE_II = {
    0.125: ((34.36, 39.06, 27.78), (33.11, 37.55, 23.87), (31.90, 36.10, 20.52)),
    0.25: ((16.81, 50.37, 29.48), (16.00, 47.30, 25.83), (15.23, 44.41, 22.64)),
    0.375: ((44.81, 58.37, 37.25), (43.56, 53.37, 32.59), (42.35, 48.80, 28.50)),
    0.5: ((27.39, 87.09, 41.70), (26.25, 80.62, 36.33), (25.16, 74.63, 31.66)),
    0.625: ((51.55, 104.90, 49.72), (49.30, 95.27, 43.10), (47.15, 86.52, 37.36)),
    0.75: ((29.59, 102.42, 68.95), (27.98, 93.18, 59.84), (26.45, 84.77, 51.94)),
}
PAPER_004_SCORES: dict[tuple[float, int, int], float] = {
    (gamma, bits, power): score
    for gamma, powers in _TABLE_II.items()
    for power, scores in zip((1, 2, 3), powers, strict=True)
    for bits, score in zip((8, 4, 3), scores, strict=True)
}
"""Table II: efficiency scores by (gamma, bits, p)."""

Counts = Literal["file", "estimate"]


@dataclass(frozen=True)
class Anchor:
    """A compressed VGG on CIFAR-10 that somebody published.

    Attributes:
        name: of the method.
        kilobytes: 1,000 bytes each.
        accuracy_percent: of the compressed network.
        counts: file: the length of a real bitstream or file; estimate: parameters times bits, or derived.
        network: which one was compressed.
        source: where the numbers stand.
    """

    name: str
    kilobytes: float
    accuracy_percent: float
    counts: Counts
    network: str
    source: str


_SMALL = "VGG-16, 15 M weights"
_PAPER_000 = "VGG-16, 33.6 M weights"
ANCHORS = (
    Anchor("LilNetX, extreme", 76, 90.0, "file", _SMALL, "arXiv 2204.02965, table 1"),
    Anchor("Entropy penalty (EPR)", 101, 90.0, "file", _SMALL, "arXiv 1906.06624, table 1"),
    Anchor("LilNetX", 129, 92.6, "file", _SMALL, "arXiv 2204.02965, table 1"),
    Anchor("MIRACLE, smallest", 135, 90.0, "file", _SMALL, "arXiv 1810.00440 (168 kB in its correction)"),
    Anchor("MIRACLE, best", 384, 93.43, "file", _SMALL, "arXiv 1810.00440, table 1 (417 kB in others)"),
    Anchor("Bayesian Compression, GHS", 525, 90.8, "estimate", _SMALL, "arXiv 1705.08665"),
    Anchor("DeepCABAC, trained sparse", 960, 91.0, "file", _SMALL, "arXiv 1905.08318, 1907.11900, table 1"),
    Anchor("DeepCABAC, trained sparse", 1140, 91.35, "file", _SMALL, "arXiv 1905.08318, 1907.11900, table 1"),
    Anchor("DeepCABAC, not trained sparse", 3500, 91.5, "file", _SMALL, "arXiv 1907.11900, table 1"),
    Anchor("Pruned, float32 in a zip", 13000, 90.93, "file", _SMALL, "NHZlX/PaddleModelZoo"),
    Anchor("MPT-1/32", 161, 91.48, "estimate", "VGG-Small", "arXiv 2103.09377, table 8"),
    *(
        Anchor(
            f"Paper 000, alpha {alpha:g}, b {bits}",
            1000 * PAPER_000_MEGABYTES[alpha, bits],
            PAPER_000_ACCURACY_PERCENT[alpha, bits],
            "file",
            _PAPER_000,
            "paper 000, tables III and IV",
        )
        for bits in PAPER_000_BITS
        for alpha in PAPER_000_ALPHAS
    ),
)
"""Methods other than paper 000 as a survey of them quotes them; their tables were not looked up again."""
