"""Under the recipe Strong the layer that gives the classes learns slower the more inputs it has.

Every other layer of our networks is normalised, so that what it gives does not depend on how large its weights are, and
bears a large rate. The last one is not. How far a step moves its answers grows with the inputs it sums over: with 4,096
of them a rate that suits the rest makes it overshoot, and a rate that suits it leaves the rest slow.

With plain gradient descent the rate of the output weights goes with 1 / inputs (Yang et al. 2022, arXiv 2203.03466,
table 3).
"""

import math
from typing import Any

from model_artifact.recipe import Training

WHOLE_RATE_INPUTS = 128
"""Inputs up to which the last layer has the recipe's rate, like all others."""


def plan_rate_shares(network: Any, training: Training) -> tuple[float, ...]:
    """The share of the learning rate that each trainable variable has: above 0, at most 1.

    Args:
        network: a Keras model that gives logits, or numbers.
        training: Published has one rate for all.

    Returns:
        In the variables' order; empty where each has the whole rate.
    """
    kernel = getattr(network.layers[-1], "kernel", None)
    inputs = 0 if kernel is None else math.prod(kernel.shape[:-1])
    if training.recipe != "Strong" or inputs <= WHOLE_RATE_INPUTS:
        return ()
    share = WHOLE_RATE_INPUTS / inputs
    return tuple(share if variable is kernel else 1.0 for variable in network.trainable_variables)
