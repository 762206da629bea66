"""Recipes in files: JSON or YAML, by the file's name."""

import json
from pathlib import Path

from model_artifact.errors import InvalidRecipeError
from model_artifact.recipe import Recipe, parse_recipe

_YAML = {".yaml", ".yml"}


def read_recipe(path: Path) -> Recipe:
    """The recipe in a .json, .yaml or .yml file; YAML is read as data, never as objects.

    Raises:
        InvalidRecipeError: naming the file and what is wrong in it.
        OSError: when it cannot be read.
    """
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:
        raise InvalidRecipeError(f"{path}: not a text in UTF-8; write the recipe as JSON or YAML") from error
    return parse_recipe(convert_yaml(text, str(path)) if path.suffix in _YAML else text, str(path))


def convert_yaml(text: str, source: str) -> str:
    """The JSON of a YAML document.

    Raises:
        InvalidRecipeError: when it is no YAML, or holds what JSON cannot, such as a date; and where PyYAML is missing.
    """
    try:
        import yaml  # a machine that only trains may lack it: JSON needs nothing
    except ModuleNotFoundError as error:
        raise InvalidRecipeError(f"{source}: there is no PyYAML here to read it; write the recipe as JSON") from error
    try:
        return json.dumps(yaml.safe_load(text), allow_nan=False)
    except yaml.YAMLError as error:
        raise InvalidRecipeError(f"{source}: not a YAML document: {' '.join(str(error).split())}") from error
    except (TypeError, ValueError) as error:
        raise InvalidRecipeError(f"{source}: holds what no recipe can hold: {error}; quote it or remove it") from error
