"""The paper's tables II to VI: iterative prune-then-quantise on VGG-16 behind Kubernetes (paper 000). Data alone."""

from dataclasses import dataclass

Setting = tuple[float, int] | tuple[float, int, float]
"""(alpha, bits), and of ours the share of channels that is pruned as a whole, where there is one."""

WHOLE: Setting = (0.0, 32)
"""What the paper compares with: nothing pruned, nothing quantised."""
SMALLEST: Setting = (1.25, 8)
SETTINGS: tuple[Setting, ...] = ((0.0, 32), (0.5, 32), (1.25, 32), (0.0, 8), (0.5, 8), (1.25, 8))
NETWORK = "vgg16"

ZEROS_PERCENT: dict[Setting, float] = {(0.5, 32): 37.92, (1.25, 32): 74.76, (0.5, 8): 36.94, (1.25, 8): 74.49}
"""Table II."""
MEGABYTES: dict[Setting, float] = dict(zip(SETTINGS, (123.51, 87.11, 55.80, 32.50, 32.12, 22.09), strict=True))
"""Table III, of 1,000,000 bytes."""
ACCURACY_PERCENT: dict[Setting, float] = dict(zip(SETTINGS, (81.58, 79.39, 79.53, 79.76, 80.77, 79.31), strict=True))
"""Table IV."""


@dataclass(frozen=True)
class Kpis:
    """A row of table V or VI.

    Attributes:
        p95_milliseconds: response time.
        spread_milliseconds: what stands behind its plus-or-minus; the paper does not say of what.
        memory_mebibytes: of the pod.
        cpu_millicores: of the pod.
    """

    p95_milliseconds: float
    spread_milliseconds: float
    memory_mebibytes: float
    cpu_millicores: float


_TABLE_V = (
    Kpis(16.23, 2.988, 701, 135),
    Kpis(15.97, 3.467, 707, 136),
    Kpis(15.44, 2.597, 703, 132),
    Kpis(9.39, 2.026, 412, 95),
    Kpis(9.27, 3.011, 414, 94),
    Kpis(9.44, 1.729, 411, 94),
)
_TABLE_VI = (
    Kpis(16.23, 3.122, 702, 135),
    Kpis(16.78, 3.214, 706, 136),
    Kpis(15.34, 2.767, 701, 134),
    Kpis(9.30, 2.666, 412, 94),
    Kpis(9.25, 2.714, 414, 95),
    Kpis(8.71, 2.991, 411, 94),
)
KPIS: dict[str, dict[Setting, Kpis]] = {
    "n75": dict(zip(SETTINGS, _TABLE_V, strict=True)),
    "n250": dict(zip(SETTINGS, _TABLE_VI, strict=True)),
}
TABLE_NAMES = {"n75": "Table V", "n250": "Table VI"}
