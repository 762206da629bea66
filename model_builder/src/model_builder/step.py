"""One training step as a pure function: state in, state out, on any Keras backend.

The rule runs inside: C = rule(W) runs forward, and the gradient at C goes where the recipe says, onto the float masters
W or onto C itself, which the rule then overwrites (paper 000 and 004, figure 1). Biases and normalisation stay float.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import keras
from keras import ops

from model_artifact.recipe import Compression, Recipe, Training
from model_builder.augmentation import shift_images
from model_builder.channels import Channels, plan_channels
from model_builder.objective import Objective, plan_objective
from model_builder.output_rate import plan_rate_shares
from model_builder.rules import (
    Compressed,
    Moments,
    Scale,
    apply_rule,
    keep_channels,
    keep_mask,
    measure,
    measure_channels,
    prune,
)
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


class Sight(NamedTuple):
    """What a step sees of the output channels of a kernel before it compresses it.

    Attributes:
        kept: which are kept, bool, shape (channels,); None where none of them may go.
        moments: of each; None where none may go and the tensor has one quantisation step, and once masks are frozen.
    """

    kept: Tensor | None = None
    moments: Moments | None = None


SMALLEST_FUSED = 1 << 16
"""Weights of a kernel below which one pass over memory gains less than its compilation costs."""
WEIGHT_DECAY = 5e-4


def is_kernel(variable: Any) -> bool:
    """Whether the rule applies: kernels of convolutions and dense layers, not biases nor normalisation."""
    return str(variable.path).endswith("/kernel")


def _leave(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _measure_frozen(rule: Compression, weights: Tensor, mask: Tensor) -> Scale:
    return measure(weights, rule, mask=mask)


def _give_weights(
    rule: Compression, weights: Tensor, threshold: Tensor, step: Tensor, mask: Tensor | None = None
) -> Tensor:
    return apply_rule(weights, Scale(threshold, step), rule, mask=mask).weights


def _give_bfloat16(
    rule: Compression, weights: Tensor, threshold: Tensor, step: Tensor, mask: Tensor | None = None
) -> Tensor:
    return ops.cast(_give_weights(rule, weights, threshold, step, mask), "bfloat16")


def _give_all(
    rule: Compression, weights: Tensor, threshold: Tensor, step: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, ...]:
    return tuple(apply_rule(weights, Scale(threshold, step), rule, mask=mask))


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
        narrow: which of the kernels have a layer that computes in bfloat16, as the kernels are told.
        rate_shares: the share of the learning rate that each of the trainable variables has; empty where it is one.
        fuse: compiles a function into few passes over memory, for backends that do not do so themselves.
    """

    network: keras.Model
    objective: Objective
    compression: Compression
    training: Training
    kernels: tuple[int, ...]
    channels: tuple[Channels | None, ...] = ()
    narrow: frozenset[int] = frozenset()
    rate_shares: tuple[float, ...] = ()
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
        """The weights that run forward: C for kernels, W for the rest; zero for what belongs to a pruned channel.

        C is bfloat16 where its layer computes in that, which would round it all the same, in a pass of its own.
        """
        sights = self._see_all(state, pruning)
        forward = self._silence(state, sights)
        for place, index in enumerate(self.kernels):
            if self.overwrites:
                forward[index] = state["weights"][index] * state["steps"][place]
            elif self.compresses_forward:
                give = _give_bfloat16 if index in self.narrow else _give_weights
                forward[index] = self._run_rule(give, state, place, pruning, sights[place])
        return forward

    def silence(self, state: State, pruning: Pruning) -> list[Tensor]:
        """The weights, with zeros for biases and normalisations of the channels that are pruned as a whole.

        A kernel of zeros is not enough: its channel would give its bias, which no layer that pads can do without.
        """
        return self._silence(state, self._see_all(state, pruning))

    def _silence(self, state: State, sights: Sequence[Sight]) -> list[Tensor]:
        weights = list(state["weights"])
        for channels, sight in zip(self.channels, sights, strict=False):
            for index in channels.others if channels and sight.kept is not None else ():
                weights[index] = prune(weights[index], sight.kept)
        return weights

    def _see_all(self, state: State, pruning: Pruning) -> list[Sight]:
        return [self._see(state, place, pruning) for place in range(len(self.kernels))]

    def _see(self, state: State, place: int, pruning: Pruning) -> Sight:
        """The channels of a kernel, and which of them are kept."""
        some_go = bool(self.channels) and self.channels[place] is not None
        if state["masks"]:
            return Sight(state["channels"][place] if some_go else None)
        if not some_go and self.compression.chosen_granularity != "Channel":
            return Sight()
        weights = state["weights"][self.kernels[place]]
        moments = Moments(*self._fused(measure_channels, weights)(weights))
        return Sight(keep_channels(weights, pruning.channels, moments) if some_go else None, moments)

    def deployed(self, state: State, pruning: Pruning) -> list[Compressed]:
        """What every kernel is when training ends here."""
        if not self.overwrites:
            return [Compressed(*self._run_rule(_give_all, state, place, pruning)) for place in range(len(self.kernels))]
        nothing = ops.zeros((), "int32")
        pairs = zip((state["weights"][index] for index in self.kernels), state["steps"], strict=True)
        return [Compressed(codes, step, nothing, ops.count_nonzero(codes)) for codes, step in pairs]

    def freeze(self, state: State, pruning: Pruning) -> State:
        """Keep from now on the zeros that the rule makes now."""
        kernels = [state["weights"][index] for index in self.kernels]
        sights = self._see_all(state, pruning)
        pairs = list(zip(kernels, sights, strict=True))
        alphas = [self._alpha(place, pruning) for place in range(len(kernels))]
        masks = [keep_mask(weights, alpha, *sight) for alpha, (weights, sight) in zip(alphas, pairs, strict=True)]
        if not self.channels:
            return {**state, "masks": masks}
        frozen = [ops.ones(weights.shape[-1:], "bool") if seen.kept is None else seen.kept for weights, seen in pairs]
        return {**state, "masks": masks, "channels": frozen}

    def overwrite_floats(self, state: State, pruning: Pruning) -> State:
        """W <- C, once: what the papers call compression once an epoch."""
        weights = list(state["weights"])
        for place, index in enumerate(self.kernels):
            weights[index] = self._run_rule(_give_weights, state, place, pruning)
        return {**state, "weights": weights}

    def _run_rule(
        self, give: Callable[..., Any], state: State, place: int, pruning: Pruning, sight: Sight | None = None
    ) -> Any:
        """What `give` makes of a kernel, its scale and its frozen mask, if it has one."""
        weights, rule = state["weights"][self.kernels[place]], self._rule(place)
        fused = self._fused(_bind(give, rule), weights)
        if state["masks"]:
            mask = state["masks"][place]
            return fused(weights, *self._fused(_bind(_measure_frozen, rule), weights)(weights, mask), mask)
        seen = self._see(state, place, pruning) if sight is None else sight
        alpha = self._alpha(place, pruning)
        return fused(weights, *measure(weights, rule, alpha=alpha, channels=seen.kept, moments=seen.moments))

    def _rule(self, place: int) -> Compression:
        """What is done to a kernel."""
        return self.compression.for_layer(place, len(self.kernels))

    def _alpha(self, place: int, pruning: Pruning) -> Tensor:
        """How hard a kernel is pruned now; 0 for one that the rule leaves dense."""
        return pruning.alpha if self._rule(place).alpha > 0 else 0.0

    def _fused(self, function: Callable[..., Any], weights: Tensor) -> Callable[..., Any]:
        """The function in few passes over memory, where there are enough weights to gain by it."""
        return self.fuse(function) if math.prod(weights.shape) >= SMALLEST_FUSED else function

    def _overwrite(self, state: State, pruning: Pruning) -> State:
        made = [Compressed(*self._run_rule(_give_all, state, place, pruning)) for place in range(len(self.kernels))]
        weights = list(state["weights"])
        for index, kernel in zip(self.kernels, made, strict=True):
            weights[index] = kernel.codes
        kept = sum((ops.cast(kernel.kept, "float32") for kernel in made), start=ops.zeros((), "float32"))
        return {**state, "weights": weights, "steps": [k.step for k in made], "sums": [*state["sums"][:3], kept]}

    def _loss(self, forward: list[Tensor], fixed: list[Tensor], pixels: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
        answers, fixed = self._answer(forward, fixed, pixels)
        answers = ops.cast(answers, "float32")
        return self.objective.loss(answers, labels), (fixed, self.objective.count(answers, labels))

    def _answer(self, forward: list[Tensor], fixed: list[Tensor], pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As Keras' `stateless_call` while training, which would widen bfloat16 to what its variables are."""
        trainable, others = self.network.trainable_variables, self.network.non_trainable_variables
        with keras.StatelessScope(list(zip(others, fixed, strict=True))) as scope:
            scope.state_mapping.update({id(part): value for part, value in zip(trainable, forward, strict=True)})
            answers = self.network.call(pixels, training=True)
            return answers, [scope.get_current_value(variable) for variable in others]

    def _descend(self, state: State, gradients: list[Tensor], rate: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Set v <- m v - rate g, and W <- W + v, or W + m v - rate g for Nesterov."""
        weights, velocity = list(state["weights"]), list(state["velocity"])
        for index, gradient in enumerate(gradients):
            weight = self._float_weight(state, index)
            move = self._move_decayed if index in self.kernels and self.training.recipe == "Strong" else self._move
            own = rate * self.rate_shares[index] if self.rate_shares else rate
            weights[index], velocity[index] = self._fused(move, weight)(weight, velocity[index], gradient, own)
        return weights, velocity

    def _move_decayed(self, weight: Tensor, velocity: Tensor, gradient: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        return self._move(weight, velocity, ops.cast(gradient, "float32") + WEIGHT_DECAY * weight, rate)

    def _move(self, weight: Tensor, velocity: Tensor, gradient: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """The weight and its velocity after a step."""
        momentum, slope = self.training.momentum, rate * ops.cast(gradient, "float32")
        faster = momentum * velocity - slope
        move = momentum * faster - slope if self.training.recipe == "Strong" else faster
        return weight + move, faster

    def _float_weight(self, state: State, index: int) -> Tensor:
        if self.overwrites and index in self.kernels:
            return state["weights"][index] * state["steps"][self.kernels.index(index)]
        return state["weights"][index]


@cache
def _bind(function: Callable[..., Any], rule: Compression) -> Callable[..., Any]:
    """The function for a rule: the same object each time, since what is compiled of a function is found by it."""
    return partial(function, rule)


def plan_step(network: keras.Model, recipe: Recipe) -> Step:
    """The step of a recipe for a network that gives logits, or numbers where those are learnt."""
    kernels = tuple(index for index, variable in enumerate(network.trainable_variables) if is_kernel(variable))
    objective = plan_objective(recipe, int(network.outputs[0].shape[-1]))
    rule = recipe.compression
    channels = plan_channels(network, kernels, rule) if rule.channel_sparsity is not None else ()
    narrow = {
        layer.kernel.path for layer in network.layers if hasattr(layer, "kernel") and layer.compute_dtype == "bfloat16"
    }
    in_bfloat16 = frozenset(index for index in kernels if network.trainable_variables[index].path in narrow)
    shares = plan_rate_shares(network, recipe.training)
    return Step(network, objective, rule, recipe.training, kernels, channels, in_bfloat16, shares)
