"""Layers that train in less time on TensorFlow's CPU kernels; what they compute is Keras' but for the order of sums.

How much less: `python e2e/bench/training.py`, with and without `--library-layers`.
"""

from itertools import product
from typing import Any

import tensorflow as tf
from keras import layers
from typing_extensions import override

Tensor = Any

LARGEST_PRODUCT = 4 * 4
"""Positions of a feature map (height x width) up to which all three passes are faster as products."""
LARGEST_GRADIENT = 8 * 8
"""Positions up to which the gradient of the kernel is."""


class SmallMapConv2D(layers.Conv2D):  # type: ignore[misc]
    """A convolution by an odd kernel, stride 1, padding "same", as matrix products where its feature map is small.

    For bfloat16: with many channels and few positions oneDNN's kernels, above all the one for a kernel's gradient, take
    up to several times as long as a product over gathered patches does. In float32 they mostly do not.
    """

    @override
    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        positions = inputs.shape[1] * inputs.shape[2]
        if positions > LARGEST_GRADIENT:
            return super().convolution_op(inputs, kernel)
        chosen = _multiply if positions <= LARGEST_PRODUCT else _convolve
        return chosen(inputs, tf.convert_to_tensor(kernel))


class OnePassBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Normalisation over images and positions by one kernel each way, where Keras makes a dozen passes over memory.

    Statistics are float32. Outside training it is Keras' own.
    """

    @override
    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        if not training:
            return super().call(inputs, training=training, mask=mask)
        images = inputs if len(inputs.shape) == 4 else inputs[:, None, None, :]
        nothing = tf.zeros(0)
        normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=nothing,
            variance=nothing,
            epsilon=self.epsilon,
        )
        count = tf.cast(tf.size(images) / images.shape[-1], "float32")
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance * (count - 1) / count)  # the kernel's has Bessel's correction
        return tf.reshape(normalised, tf.shape(inputs))

    def _follow(self, moving: Any, seen: Tensor) -> None:
        moving.assign(moving * self.momentum + seen * (1.0 - self.momentum))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _multiply(images: Tensor, kernel: Tensor) -> Any:
    patches = _gather(images, kernel)

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        turned = tf.transpose(tf.reverse(kernel, [0, 1]), (0, 1, 3, 2))
        into_images = _apply(_gather(upstream, turned), turned, upstream)
        return into_images, _gradient_of_kernel(patches, kernel, upstream)

    return _apply(patches, kernel, images), gradient


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _convolve(images: Tensor, kernel: Tensor) -> Any:
    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        into_images = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(images), filter=kernel, out_backprop=upstream, strides=[1, 1, 1, 1], padding="SAME"
        )
        return into_images, _gradient_of_kernel(_gather(images, kernel), kernel, upstream)

    return tf.nn.conv2d(images, kernel, 1, "SAME"), gradient


def _gather(images: Tensor, kernel: Tensor) -> Any:
    """What the kernel sees at each position: shape (images x height x width, rows x columns x channels)."""
    height, width, channels = images.shape[1:]
    rows, columns = kernel.shape[:2]
    above, left = (rows - 1) // 2, (columns - 1) // 2
    padded = tf.pad(images, [[0, 0], [above, rows - 1 - above], [left, columns - 1 - left], [0, 0]])
    taps = product(range(rows), range(columns))
    seen = tf.concat([padded[:, row : row + height, column : column + width] for row, column in taps], axis=-1)
    return tf.reshape(seen, (-1, rows * columns * channels))


def _apply(patches: Tensor, kernel: Tensor, like: Tensor) -> Tensor:
    """The convolved images: as many and as large as `like`, with the kernel's output channels."""
    filters = kernel.shape[-1]
    return tf.reshape(tf.matmul(patches, tf.reshape(kernel, (-1, filters))), (-1, *like.shape[1:3], filters))


def _gradient_of_kernel(patches: Tensor, kernel: Tensor, upstream: Tensor) -> Tensor:
    """Sum over images and positions of what was seen times what came back: shape of the kernel."""
    came_back = tf.reshape(upstream, (-1, kernel.shape[-1]))
    return tf.reshape(tf.matmul(patches, came_back, transpose_a=True), kernel.shape)
