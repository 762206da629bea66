"""`python -m model_builder.train RECIPE FOLDER`: trains and exports nothing, so a machine with JAX alone can do it.

FOLDER/trained.npz holds what came out; `model-builder build --resume`, in a folder whose checkpoint/ it is put into,
makes the artifact of it anywhere. FOLDER/curve.json holds the training curve.

Exit codes (docs/exit-codes.md): 0 done, 2 bad use or input, 5 data, 130 and 143 ended by Ctrl-C and SIGTERM after it
saved itself.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_artifact.errors import ArtifactError
from model_artifact.manifest import Epoch
from model_artifact.recipe import Recipe
from model_builder.checkpoint import SECONDS_BETWEEN_SAVES, Checkpoints
from model_builder.data_source import fit_to_given, load_data
from model_builder.dataset import LabelledImages
from model_builder.errors import BuildError, BuildInterruptedError, DataError
from model_builder.folder_lock import lock_folder
from model_builder.given_files import open_given
from model_builder.interruption import Interruption, interruptible
from model_builder.memory import explain_memory
from model_builder.progress import Progress, tell_all, tell_on
from model_builder.recipe_file import read_recipe

CURVE_FILE = "curve.json"

EXIT_BAD_INPUT = 2
EXIT_DATA = 5
EXIT_CTRL_C = 130


@dataclass(frozen=True)
class Trained:
    """A training that is done.

    Attributes:
        model: a `training.CompressedTraining` with the trained weights and the deployed kernels.
        curve: an entry for each epoch.
        data: what it was trained and measured on.
    """

    model: Any
    curve: list[Epoch]
    data: LabelledImages


def train_to(
    folder: Path,
    recipe: Recipe,
    *,
    resume: bool = True,
    environment: Mapping[str, str] = os.environ,
    progress: Progress | None = None,
    interruption: Interruption | None = None,
    seconds_between_saves: float = SECONDS_BETWEEN_SAVES,
) -> Trained:
    """Train a recipe in a folder, going on from what is saved there.

    Args:
        folder: gets the checkpoint, then what was trained and the curve.
        recipe: what to train.
        resume: false forgets what is saved in the folder.
        environment: where the data is (see `dataset.load_dataset`).
        progress: told how far it is; absent: sentences on stderr.
        interruption: ends it early: training after it saved itself, and what comes before at once.
        seconds_between_saves: at most this much work is lost where the process ends without being asked to.

    Raises:
        FolderBusyError: when another process trains or builds in the folder.
        BuildError: with the cause and the remedy.
    """
    checkpoints, tell, asked = Checkpoints(folder, seconds_between_saves), progress or tell_on(sys.stderr), interruption
    with lock_folder(folder):
        if not resume:
            checkpoints.clear()
        return _train_alone(checkpoints, recipe, environment, tell, asked or Interruption())


def _train_alone(
    checkpoints: Checkpoints, recipe: Recipe, environment: Mapping[str, str], tell: Progress, interruption: Interruption
) -> Trained:
    from model_builder.training import build_model, train

    data, given = load_data(recipe.training, environment, tell, interruption), None
    if recipe.training.model is not None:
        from model_builder.given_model import read_given_model

        with open_given(recipe.training.model, environment, tell, interruption) as file:
            given = read_given_model(file.path, recipe.training.task)
        data = fit_to_given(data, given)
    interruption.check("before training", checkpoints.describe())
    height, width, channels = data.training_images.shape[1:]
    with explain_memory("build the network"):
        model = build_model(recipe, (height, width, channels), len(data.class_names), given=given)
    curve = train(model, recipe, data, tell, checkpoints=checkpoints, interruption=interruption)
    told = json.dumps([entry.model_dump(by_alias=True) for entry in curve], indent=1)
    (checkpoints.folder / CURVE_FILE).write_text(f"{told}\n")
    return Trained(model, curve, data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train one recipe; errors are one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="model_builder.train", description="Train a recipe and export nothing.")
    parser.add_argument("recipe", type=Path, help="what to train, JSON or YAML")
    parser.add_argument("folder", type=Path, help="gets trained.npz, curve.json and, while it runs, checkpoint.npz")
    parser.add_argument("--anew", action="store_true", help="forget what is saved in the folder")
    parser.add_argument("--metrics-port", type=int, help="show Prometheus how far it is, on this port")
    parser.add_argument("--metrics-file", type=Path, help="likewise, in this file of a textfile collector")
    options = parser.parse_args(arguments)
    try:
        recipe = read_recipe(options.recipe)
        tell = _listen(options.metrics_port, options.metrics_file)
        with interruptible() as asked:
            train_to(options.folder, recipe, resume=not options.anew, progress=tell, interruption=asked)
            asked.check("after its last step", f"what was trained is in {options.folder}")
    except KeyboardInterrupt:
        return _fail("ended by Ctrl-C; what was saved before goes on", EXIT_CTRL_C)
    except BuildInterruptedError as error:
        return _fail(error, error.exit_code)
    except DataError as error:
        return _fail(error, EXIT_DATA)
    except (ArtifactError, BuildError, OSError) as error:
        return _fail(error, EXIT_BAD_INPUT)
    return 0


def _listen(port: int | None, text_file: Path | None) -> Progress:
    """Tell on stderr, and Prometheus where that is asked for."""
    if port is None and text_file is None:
        return tell_on(sys.stderr)
    from model_builder.metrics import serve_metrics

    shown = serve_metrics(port, text_file)
    return tell_all(tell_on(sys.stderr), *([shown] if shown else []))


def _fail(error: Exception | str, code: int) -> int:
    print(f"model_builder.train: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
