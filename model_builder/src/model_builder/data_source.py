"""The images that a recipe asks for: a known data set, or a file of the user's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model_artifact.recipe import Training
from model_builder.dataset import LabelledImages, load_dataset
from model_builder.errors import BuildError, DataError
from model_builder.given_data import read_given_data
from model_builder.given_files import open_given
from model_builder.interruption import Interruption
from model_builder.progress import Progress


def load_data(
    training: Training, environment: Mapping[str, str], progress: Progress, interruption: Interruption | None = None
) -> LabelledImages:
    """The data set that the recipe names or gives; a download of it ends when the process is asked to end.

    Raises:
        DataError: when it is not there, or not as it is stated to be.
    """
    if training.data is not None:
        with open_given(training.data, environment, progress, interruption) as given:
            return read_given_data(given.path, given.digest, training.task)
    if training.dataset is None:
        raise BuildError("training: states neither dataset nor data; state one of them")
    return load_dataset(training.dataset, environment, progress, interruption)


def fit_to_given(data: LabelledImages, given: Any) -> LabelledImages:
    """The data fitted to a given network, as `fit_to_network` does it."""
    *sides, outputs = given.outputs[0].shape[1:]
    return fit_to_network(data, tuple(given.inputs[0].shape[1:]), int(outputs), tuple(sides))


def fit_to_network(
    data: LabelledImages, image_shape: tuple[int, ...], outputs: int, sides: tuple[int, ...] = ()
) -> LabelledImages:
    """The data with a name for each class that a given network answers.

    Args:
        data: as it was read for the task.
        image_shape: (height, width, channels) that the network takes.
        outputs: how many classes or numbers it answers.
        sides: height and width of the answer, where it has classes of pixels.

    Raises:
        DataError: when the network takes other images, has fewer outputs than there are classes, or gives another
            number of answers than there are targets.
    """
    found = data.training_images.shape[1:]
    if found != image_shape:
        raise DataError(
            f"{data.facts.name}: its images are {found}, but the model takes {image_shape}; give fitting ones"
        )
    if data.training_labels.dtype.kind == "f":
        return _fit_numbers(data, outputs)
    if data.training_labels.shape[1:] != sides:
        raise DataError(
            f"{data.facts.name}: its labels are {data.training_labels.shape[1:]}, but the model answers {sides}; give"
            " fitting ones"
        )
    highest = int(max(data.training_labels.max(), data.test_labels.max()))
    if highest >= outputs:
        raise DataError(f"{data.facts.name}: has the label {highest}, but the model answers {outputs} classes only")
    names = (*data.class_names, *(str(label) for label in range(len(data.class_names), outputs)))
    return replace(data, class_names=names[:outputs])


def _fit_numbers(data: LabelledImages, outputs: int) -> LabelledImages:
    wanted = data.training_labels.shape[1]
    if wanted != outputs:
        raise DataError(
            f"{data.facts.name}: has {wanted} numbers for an image, but the model answers {outputs}; give fitting ones"
        )
    return data
