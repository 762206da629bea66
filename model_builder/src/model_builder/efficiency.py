"""Paper 004's efficiency score: what accuracy is left for what is stored. Pure."""

from model_artifact.recipe import NOT_QUANTISED


def compression_share(density: float, bits: float) -> float:
    """RC_total = rho * b_compressed / b_original (paper 004, eq. 6).

    Args:
        density: rho, share of weights that are not zero, 0..1.
        bits: of a weight that is not zero; the original has 32.
    """
    return density * bits / NOT_QUANTISED


def efficiency_score(accuracy: float, baseline: float, share: float, power: int) -> float | None:
    """PE = (accuracy / baseline)^p / RC_total (paper 004, eq. 5); None where nothing is left to divide by.

    Args:
        accuracy: of the compressed network.
        baseline: of the network that is neither pruned nor quantised, in the same unit.
        share: RC_total, as `compression_share` gives it.
        power: p >= 1, how much accuracy weighs.
    """
    if baseline <= 0 or share <= 0:
        return None
    return float((accuracy / baseline) ** power / share)
