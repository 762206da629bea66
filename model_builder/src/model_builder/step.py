"""One training step as a pure function: state in, state out, on any Keras backend.

The rule runs inside: C = rule(W) runs forward, and the gradient at C goes where the recipe says, onto the float masters
W or onto C itself, which the rule then overwrites (paper 000 and 004, figure 1). Biases and normalisation stay float.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
from keras import ops

from model_artifact.recipe import Compression, Recipe, Training
from model_builder.augmentation import shift_images
from model_builder.channels import Channels, plan_channels
from model_builder.objective import Objective, plan_objective
from model_builder.rules import Compressed, Scale, apply_rule, keep_channels, keep_mask, measure, prune
from model_builder.schedule import Pruning, whole_pruning

Tensor = Any
State = dict[str, list[Tensor]]
"""What a step changes, as lists of tensors.

weights: the trainable variables in the network's order; a kernel that is overwritten in place holds its codes.
velocity: of each of them. fixed: the other variables (moving statistics, random states of dropout). steps: of each
kernel that is overwritten in place. masks: of each kernel, once they are frozen. sums: loss, the objective's tally,
images and kept weights since the epoch began. channels: of each kernel which are kept, once masks are frozen, where
channels are pruned as a whole.
"""
Gradient = Callable[
    [Callable[[list[Tensor]], tuple[Tensor, Any]], list[Tensor]], tuple[tuple[Tensor, Any], list[Tensor]]
]
"""Takes a function of the weights that gives (loss, rest), and the weights; gives ((loss, rest), gradients)."""


class Batch(NamedTuple):
    """Some training images.

    Attributes:
        images: uint8, shape (n, height, width, channels).
        labels: what is right: int32, shape (n,), or as the objective takes it.
        shifts: how to augment them, see `shift_images`; absent: not.
    """

    images: Tensor
    labels: Tensor
    shifts: Tensor | None


SMALLEST_FUSED = 1 << 16
"""Weights of a kernel below which one pass over memory gains less than its compilation costs."""
WEIGHT_DECAY = 5e-4


def is_kernel(variable: Any) -> bool:
    """Whether the rule applies: kernels of convolutions and dense layers, not biases nor normalisation."""
    return str(variable.path).endswith("/kernel")


def _leave(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@dataclass(frozen=True)
class Step:
    """How a recipe trains a network.

    Attributes:
        network: from raw pixels to logits, or to numbers; its variables only lend their order, values are in the
            state.
        objective: the loss, and what is counted.
        compression: the rule and its settings.
        training: optimiser and augmentation.
        kernels: which of the trainable variables the rule applies to.
        channels: of each kernel what goes with a channel that is pruned as a whole, None where none can; empty where
            the recipe prunes none.
        fuse: compiles an elementwise function into one pass over memory, for backends that do not do so themselves.
    """

    network: keras.Model
    objective: Objective
    compression: Compression
    training: Training
    kernels: tuple[int, ...]
    channels: tuple[Channels | None, ...] = ()
    fuse: Callable[[Callable[..., Any]], Callable[..., Any]] = _leave

    @property
    def overwrites(self) -> bool:
        """Whether the state holds codes, because C overwrites W in every step."""
        rule = self.compression
        return rule.compresses and rule.chosen_update == "InPlace" and rule.frequency == "Step"

    @property
    def compresses_forward(self) -> bool:
        """Whether C = rule(W) is computed for the forward pass."""
        rule = self.compression
        return rule.compresses and rule.chosen_update == "Masters"

    def begin(self, weights: Sequence[Tensor], fixed: Sequence[Tensor]) -> State:
        """The state before the first step."""
        state: State = {
            "weights": list(weights),
            "velocity": [ops.zeros_like(weight) for weight in weights],
            "fixed": list(fixed),
            "steps": [],
            "masks": [],
            "channels": [],
            "sums": [ops.zeros(shape, "float32") for shape in ((), self.objective.tally_shape, (), ())],
        }
        return self._overwrite(state, whole_pruning(self.compression)) if self.overwrites else state

    def train(self, gradient: Gradient, state: State, batch: Batch, *, rate: Tensor, pruning: Pruning) -> State:
        """One step of stochastic gradient descent with momentum.

        Args:
            gradient: the backend's.
            state: before the step.
            batch: what to learn from.
            rate: the step's learning rate, float32 scalar.
            pruning: how hard the step prunes, float32 scalars.
        """
        images, labels, shifts = batch
        pixels = ops.cast(images if shifts is None else shift_images(images, shifts), "float32")
        (loss, (fixed, tally)), gradients = gradient(
            lambda forward: self._loss(forward, state["fixed"], pixels, labels), self.forward(state, pruning)
        )
        weights, velocity = self._descend(state, gradients, rate)
        count = float(images.shape[0])
        sums = [state["sums"][0] + loss * count, state["sums"][1] + tally, state["sums"][2] + count, state["sums"][3]]
        after = {**state, "weights": weights, "velocity": velocity, "fixed": fixed, "sums": sums}
        return self._overwrite(after, pruning) if self.overwrites else after

    def forward(self, state: State, pruning: Pruning) -> list[Tensor]:
        """The weights that run forward: C for kernels, W for the rest; zero for what belongs to a pruned channel."""
        forward = self.silence(state, pruning)
        for place, index in enumerate(self.kernels):
            if self.overwrites:
                forward[index] = state["weights"][index] * state["steps"][place]
            elif self.compresses_forward:
                forward[index] = self._run_rule(self._give_weights, state, place, pruning)
        return forward

    def silence(self, state: State, pruning: Pruning) -> list[Tensor]:
        """The weights, with zeros for biases and normalisations of the channels that are pruned as a whole.

        A kernel of zeros is not enough: its channel would give its bias, which no layer that pads can do without.
        """
        weights = list(state["weights"])
        for place, channels in enumerate(self.channels):
            kept = self._keep_channels(state, place, pruning)
            for index in channels.others if channels and kept is not None else ():
                weights[index] = prune(weights[index], kept)
        return weights

    def _keep_channels(self, state: State, place: int, pruning: Pruning) -> Tensor | None:
        """Which channels of a kernel are kept; None where none of them may go."""
        if not self.channels or self.channels[place] is None:
            return None
        if state["channels"]:
            return state["channels"][place]
        return keep_channels(state["weights"][self.kernels[place]], pruning.channels)

    def deployed(self, state: State, pruning: Pruning) -> list[Compressed]:
        """What every kernel is when training ends here."""
        if not self.overwrites:
            return [
                Compressed(*self._run_rule(self._give_all, state, place, pruning)) for place in range(len(self.kernels))
            ]
        nothing = ops.zeros((), "int32")
        pairs = zip((state["weights"][index] for index in self.kernels), state["steps"], strict=True)
        return [Compressed(codes, step, nothing, ops.count_nonzero(codes)) for codes, step in pairs]

    def freeze(self, state: State, pruning: Pruning) -> State:
        """Keep from now on the zeros that the rule makes now."""
        kernels = [state["weights"][index] for index in self.kernels]
        kept = [self._keep_channels(state, place, pruning) for place in range(len(kernels))]
        pairs = zip(kernels, kept, strict=True)
        masks = [keep_mask(weights, pruning.alpha, channels) for weights, channels in pairs]
        if not self.channels:
            return {**state, "masks": masks}
        every = [ops.ones(weights.shape[-1:], "bool") for weights in kernels]
        frozen = [whole if channels is None else channels for whole, channels in zip(every, kept, strict=True)]
        return {**state, "masks": masks, "channels": frozen}

    def overwrite_floats(self, state: State, pruning: Pruning) -> State:
        """W <- C, once: what the papers call compression once an epoch."""
        weights = list(state["weights"])
        for place, index in enumerate(self.kernels):
            weights[index] = self._run_rule(self._give_weights, state, place, pruning)
        return {**state, "weights": weights}

    def _run_rule(self, give: Callable[..., Any], state: State, place: int, pruning: Pruning) -> Any:
        """What `give` makes of a kernel, its scale and its frozen mask, if it has one."""
        weights = state["weights"][self.kernels[place]]
        mask = state["masks"][place] if state["masks"] else None
        channels = self._keep_channels(state, place, pruning) if mask is None else None
        scale = measure(weights, self.compression, alpha=pruning.alpha, mask=mask, channels=channels)
        masks = () if mask is None else (mask,)
        fused = self.fuse(give) if math.prod(weights.shape) >= SMALLEST_FUSED else give
        return fused(weights, *scale, *masks)

    def _give_weights(self, weights: Tensor, threshold: Tensor, step: Tensor, mask: Tensor | None = None) -> Tensor:
        return apply_rule(weights, Scale(threshold, step), self.compression, mask=mask).weights

    def _give_all(
        self, weights: Tensor, threshold: Tensor, step: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return tuple(apply_rule(weights, Scale(threshold, step), self.compression, mask=mask))

    def _overwrite(self, state: State, pruning: Pruning) -> State:
        made = [
            Compressed(*self._run_rule(self._give_all, state, place, pruning)) for place in range(len(self.kernels))
        ]
        weights = list(state["weights"])
        for index, kernel in zip(self.kernels, made, strict=True):
            weights[index] = kernel.codes
        kept = sum((ops.cast(kernel.kept, "float32") for kernel in made), start=ops.zeros((), "float32"))
        return {**state, "weights": weights, "steps": [k.step for k in made], "sums": [*state["sums"][:3], kept]}

    def _loss(self, forward: list[Tensor], fixed: list[Tensor], pixels: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
        answers, fixed = self.network.stateless_call(forward, fixed, pixels, training=True)
        answers = ops.cast(answers, "float32")
        return self.objective.loss(answers, labels), (list(fixed), self.objective.count(answers, labels))

    def _descend(self, state: State, gradients: list[Tensor], rate: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Set v <- m v - rate g, and W <- W + v, or W + m v - rate g for Nesterov."""
        momentum, strong = self.training.momentum, self.training.recipe == "Strong"
        weights, velocity = list(state["weights"]), list(state["velocity"])
        for index, gradient in enumerate(gradients):
            weight = self._float_weight(state, index)
            decayed = gradient + WEIGHT_DECAY * weight if strong and index in self.kernels else gradient
            velocity[index] = momentum * velocity[index] - rate * decayed
            move = momentum * velocity[index] - rate * decayed if strong else velocity[index]
            weights[index] = weight + move
        return weights, velocity

    def _float_weight(self, state: State, index: int) -> Tensor:
        if self.overwrites and index in self.kernels:
            return state["weights"][index] * state["steps"][self.kernels.index(index)]
        return state["weights"][index]


def plan_step(network: keras.Model, recipe: Recipe) -> Step:
    """The step of a recipe for a network that gives logits, or numbers where those are learnt."""
    kernels = tuple(index for index, variable in enumerate(network.trainable_variables) if is_kernel(variable))
    objective = plan_objective(recipe, int(network.outputs[0].shape[-1]))
    channels = plan_channels(network, kernels) if recipe.compression.channel_sparsity is not None else ()
    return Step(network, objective, recipe.compression, recipe.training, kernels, channels)
