"""A user's own network: a .keras file, of which nothing is executed.

Keras' safe mode refuses lambdas. Before Keras reads the file, its description is read here as well, and refused when it
names anything but Keras' own classes, and among layers anything but those that can be deployed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import keras
from keras import layers

from model_artifact.recipe import Task
from model_builder.errors import ModelError
from model_builder.network import OUTPUT
from model_builder.network_reading import check_deployable, deployable_layers

_MODELS = ("Functional", "Sequential")
_LARGEST_DESCRIPTION_BYTES = 16 * 2**20


def read_given_model(path: Path, task: Task = "Classification") -> Any:
    """The network of a .keras file with its weights, ending in probabilities of classes, or in plain numbers.

    For classes, a network whose last layer has no softmax is taken to give logits, and gets one.

    Args:
        path: of the file.
        task: what it is to learn.

    Raises:
        ModelError: when the file is none, is damaged, or holds what cannot be deployed; the message names the layer.
    """
    _check_description(path)
    try:
        loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        first = (str(error).splitlines() or ["no message"])[0]
        raise ModelError(f"{path}: Keras {keras.__version__} cannot load it ({first}); save it again") from error
    if not loaded.built or not loaded.inputs:
        raise ModelError(f"{path}: says nothing of its input; begin the model with keras.Input and save it again")
    model = keras.Model(loaded.inputs[0], loaded.outputs[0])
    check_deployable(model)
    _check_trainable(path, model)
    _check_answer(path, model, task)
    if task == "Regression" or _ends_in_softmax(model.layers[-1]):
        return model
    return keras.Model(model.inputs[0], layers.Softmax(name=OUTPUT)(model.outputs[0]))


def _check_trainable(path: Path, model: Any) -> None:
    """Refuse frozen layers: the rule compresses what training moves, and would pass over them in silence."""
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    if frozen:
        raise ModelError(
            f"{path}: frozen layers: {', '.join(frozen)}; what is not trained is not compressed either; set trainable ="
            " True and save it again"
        )


_ANSWERS: dict[Task, str] = {
    "Classification": "classes are (n, classes)",
    "Regression": "numbers are (n, k)",
    "Segmentation": "classes of pixels are (n, height, width, classes)",
}


def _check_answer(path: Path, model: Any, task: Task) -> None:
    """Refuse a network whose answer has not the form of the task's."""
    shape = model.outputs[0].shape
    if len(shape) != (4 if task == "Segmentation" else 2):
        raise ModelError(f"{path}: its output has shape {shape}, but {_ANSWERS[task]}")
    last = model.layers[-1]
    plain = getattr(last, "activation", keras.activations.linear) is keras.activations.linear
    if task == "Regression" and (not plain or isinstance(last, layers.Softmax | layers.ReLU)):
        raise ModelError(
            f"{path}: its last layer {last.name} has an activation, but Regression answers any number; end in a layer"
            " without one"
        )


def make_logits(model: Any) -> Any:
    """A network of its own with the same weights that gives what the softmax of this one is given.

    One that ends without a softmax is the same one.
    """
    twin = keras.models.clone_model(keras.Model(model.inputs[0], model.outputs[0]))
    for mine, theirs in zip(twin.weights, model.weights, strict=True):
        mine.assign(theirs.value)
    last = twin.layers[-1]
    if not _ends_in_softmax(last):
        return twin
    if isinstance(last, layers.Softmax) or (isinstance(last, layers.Activation) and _ends_in_softmax(last)):
        return keras.Model(twin.inputs[0], last.input)
    last.activation = keras.activations.linear
    return twin


def _ends_in_softmax(layer: Any) -> bool:
    return isinstance(layer, layers.Softmax) or getattr(layer, "activation", None) is keras.activations.softmax


def _check_description(path: Path) -> None:
    """Refuse a file whose description names what is not known here, before anything is made of it."""
    try:
        with ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _LARGEST_DESCRIPTION_BYTES:
                raise ModelError(f"{path}: its description is too long; give a smaller model")
            description = json.loads(archive.read("config.json"))
        described = list(_walk(description))
    except (BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        raise ModelError(f"{path}: not a .keras file ({error}); save the model by model.save('name.keras')") from error
    if not isinstance(description, dict) or description.get("class_name") not in _MODELS:
        raise ModelError(f"{path}: its model is no Functional nor Sequential one; build it of layers and save it again")
    known = deployable_layers()
    for kind, name in _list_layers(description):
        if kind not in known:
            raise ModelError(f"{path}: the layer {name} is a {kind}, which cannot be deployed; use {', '.join(known)}")
    for part in described:
        module = str(part["module"])
        # Keras registers its Functional under that name itself, and what is not its own as package>name.
        if part.get("registered_name") not in {None, part["class_name"]} or module.partition(".")[0] != "keras":
            raise ModelError(f"{path}: names {module}.{part['class_name']}, which is not of Keras and is not loaded")


def _list_layers(description: dict[str, Any]) -> list[tuple[str, str]]:
    """Class and name of each layer; empty where the description has another form, which Keras then refuses."""
    listed = _part(description, "config").get("layers")
    layers_of = [layer for layer in listed if isinstance(layer, dict)] if isinstance(listed, list) else []
    return [(str(layer.get("class_name")), str(_part(layer, "config").get("name"))) for layer in layers_of]


def _part(description: dict[str, Any], name: str) -> dict[str, Any]:
    part = description.get(name)
    return part if isinstance(part, dict) else {}


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every description of an object, at any depth; compile_config is not loaded."""
    if isinstance(value, dict):
        if "class_name" in value and "module" in value:
            yield value
        for key, part in value.items():
            if key not in {"compile_config", "build_config"}:
                yield from _walk(part)
    elif isinstance(value, list):
        for part in value:
            yield from _walk(part)
