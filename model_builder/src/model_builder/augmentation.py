"""Random crop and flip as a pure function of images and shifts, inside the compiled step."""

from typing import Any

from keras import ops

from model_builder.schedule import CROP_SHARE

Tensor = Any


def shift_images(images: Tensor, shifts: Tensor) -> Tensor:
    """Move each image within a black frame as wide as an eighth of it, and flip some from left to right.

    Args:
        images: shape (n, height, width, channels).
        shifts: int32, shape (n, 3): by how many rows and columns to move the window, at most an eighth of the side, and
            1 to flip. (0, 0, 0) leaves an image as it is.
    """
    height, width = images.shape[1], images.shape[2]
    above, beside = height // CROP_SHARE, width // CROP_SHARE
    framed = ops.pad(images, ((0, 0), (above, above), (beside, beside), (0, 0)))
    rows = above + shifts[:, 0:1] + ops.arange(height, dtype="int32")[None, :]
    columns = ops.arange(width, dtype="int32")[None, :]
    columns = beside + shifts[:, 1:2] + ops.where(shifts[:, 2:3] > 0, width - 1 - columns, columns)
    cropped = ops.take_along_axis(framed, rows[:, :, None, None], axis=1)
    return ops.take_along_axis(cropped, columns[:, None, :, None], axis=2)
