"""How a metric's value is written for a person. Pure."""

from model_artifact.manifest import Provenance


def format_quality(value: float, unit: str, decimals: int = 2) -> str:
    """Percent with that many decimals; what is in the unit of the targets with four digits."""
    return f"{value:.{decimals}f} %" if unit == "percent" else f"{value:.4g}"


def name_learnt(made: Provenance) -> str:
    """What the training curve measures: accuracy where classes of images are learnt, else the recipe's metric."""
    return "accuracy" if made.recipe.training.task == "Classification" else made.recipe.evaluation.metric
