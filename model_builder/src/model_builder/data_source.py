"""The images that a recipe asks for: a known data set, or a file of the user's."""

from collections.abc import Mapping
from dataclasses import replace

from model_artifact.recipe import Training
from model_builder.dataset import LabelledImages, load_dataset
from model_builder.errors import BuildError, DataError
from model_builder.given_data import read_given_data
from model_builder.given_files import find_given
from model_builder.progress import Progress


def load_data(training: Training, environment: Mapping[str, str], progress: Progress) -> LabelledImages:
    """The data set that the recipe names or gives.

    Raises:
        DataError: when it is not there, or not as it is stated to be.
    """
    if training.data is not None:
        return read_given_data(find_given(training.data, environment), training.data.digest)
    if training.dataset is None:
        raise BuildError("training: states neither dataset nor data; state one of them")
    return load_dataset(training.dataset, environment, progress)


def fit_to_network(data: LabelledImages, image_shape: tuple[int, ...], classes: int) -> LabelledImages:
    """The data with a name for each output of a given network.

    Raises:
        DataError: when the network takes other images, or has fewer outputs than there are classes.
    """
    found = data.training_images.shape[1:]
    if found != image_shape:
        raise DataError(
            f"{data.facts.name}: its images are {found}, but the model takes {image_shape}; give fitting ones"
        )
    highest = int(max(data.training_labels.max(), data.test_labels.max()))
    if highest >= classes:
        raise DataError(f"{data.facts.name}: has the label {highest}, but the model answers {classes} classes only")
    names = (*data.class_names, *(str(label) for label in range(len(data.class_names), classes)))
    return replace(data, class_names=names[:classes])
