"""What each command of `model-builder` does; results go to stdout, progress to stderr."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from model_artifact.manifest import Manifest
from model_artifact.recipe import Activations, Recipe
from model_artifact.summary import BuildProgress
from model_artifact.unpacking import unpack
from model_builder.checkpoint import TRAINED_FILE, Checkpoints
from model_builder.errors import BuildError
from model_builder.folder_lock import lock_folder
from model_builder.interruption import Interruption, interruptible
from model_builder.loading import load_and_build, quiet_stderr
from model_builder.masters import write_masters
from model_builder.metrics import serve_metrics
from model_builder.progress import Progress, tell_all, tell_on
from model_builder.recipe_file import read_recipe
from model_builder.reproduce.execution import Workplace, execute, prepare
from model_builder.reproduce.page import format_marker, replace_tables
from model_builder.reproduce.records import RUNS_FILE, read_runs
from model_builder.reproduce.studies import Part, plan_study, select_runs
from model_builder.reproduce.tables import render_study
from model_builder.run_folder import ARTIFACT_FILE, CHECKPOINT_FOLDER, RECIPE_FILE, Building, build_in_folder


def build(options: argparse.Namespace) -> int:
    """Build a recipe in a folder, and print digest, bytes and path of the artifact."""
    recipe, told = read_recipe(options.recipe), _make_listener(options)
    with interruptible() as interruption:
        building = make_building(interruption)
        manifest = build_in_folder(recipe, options.output, building, os.environ, told, resume=options.resume)
        artifact = options.output / ARTIFACT_FILE
        interruption.check("while it was packed", f"{artifact} is done all the same")
    print(f"{manifest.digest} {artifact.stat().st_size} bytes {artifact}")
    return 0


def _make_listener(options: argparse.Namespace) -> Progress:
    """Tells on stderr and, where a flag asks for it, Prometheus."""
    metrics = serve_metrics(options.metrics_port, options.metrics_file)
    return tell if metrics is None else tell_all(tell, metrics)


def make_building(interruption: Interruption) -> Building:
    """A build that saves itself in the folder of its artifact and ends early when the process is asked to."""
    return partial(_build_in_own_folder, interruption)


def _build_in_own_folder(
    interruption: Interruption, recipe: Recipe, target: Path, environment: Mapping[str, str], progress: Progress
) -> Manifest:
    saved = target.parent / CHECKPOINT_FOLDER
    with ExitStack() as held:
        if recipe.training.epochs:
            held.enter_context(lock_folder(saved))  # `python -m model_builder.train` may be at work there
        return load_and_build(
            recipe,
            target,
            environment,
            progress,
            checkpoints=Checkpoints(saved),
            interruption=interruption,
            watch_trained=partial(_keep_masters, target.parent),
        )


def _keep_masters(folder: Path, model: Any) -> None:
    """Keep histograms of the masters where the training has some apart from what is deployed."""
    if model.masters:
        write_masters(folder, model.masters)


def export(options: argparse.Namespace) -> int:
    """Write a folder that servers load, verified, and print the content digest of its artifact."""
    if options.activations is None:
        print(unpack(find_artifact(options.artifact), options.folder, progress=say).digest)
        return 0
    with tempfile.TemporaryDirectory(prefix="modelpress-export-") as scratch:
        artifact = Path(scratch) / ARTIFACT_FILE
        _export_again(options.artifact, options.activations, artifact)
        print(unpack(artifact, options.folder, progress=say).digest)
    return 0


def _export_again(folder: Path, activations: Activations, artifact: Path) -> None:
    """Make another artifact of what a build trained.

    Raises:
        BuildError: when the folder does not keep what was trained.
    """
    if not (folder / CHECKPOINT_FOLDER / TRAINED_FILE).exists():
        raise BuildError(
            f"{folder}: other activations need what was trained, {CHECKPOINT_FOLDER}/{TRAINED_FILE}; name the folder of"
            " a finished build, or build with export.activations in the recipe"
        )
    recipe = read_recipe(folder / RECIPE_FILE)
    changed = Recipe.model_validate(
        {**recipe.model_dump(), "export": recipe.export.model_copy(update={"activations": activations})}
    )
    checkpoints = Checkpoints(folder / CHECKPOINT_FOLDER)
    load_and_build(changed, artifact, os.environ, tell, checkpoints=checkpoints)


def evaluate(options: argparse.Namespace) -> int:
    """Measure an artifact on its test data, and print what came out."""
    with quiet_stderr():
        from model_builder.deployed import evaluate as measure
        from model_builder.deployed import format_evaluation
    found = measure(find_artifact(options.artifact), options.metric, os.environ, tell)
    print(found.model_dump_json(by_alias=True, indent=2) if options.json else format_evaluation(found))
    return 0


def find_artifact(source: Path) -> Path:
    """The artifact itself, or the one in the folder of a build."""
    return source / ARTIFACT_FILE if source.is_dir() else source


def report(options: argparse.Namespace) -> int:
    """Write the page and its pictures, and print the page's path."""
    from model_builder.report.subject import read_subjects
    from model_builder.report.writing import write_report

    print(write_report(read_subjects(options.sources), options.output))
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Do the runs of a study that are not done yet, and print its tables."""
    part = Part(options.study, options.quick, options.epochs)
    whole = plan_study(part)
    chosen = select_runs(whole, options.only)
    if options.list:
        print("\n".join(run.name for run in chosen))
        return 0
    if options.prepare:
        prepare(chosen, options.output)
        return 0
    command = format_command(part)
    if not (options.markdown or options.into):
        told = _make_listener(options)
        with interruptible() as interruption:
            place = Workplace(
                folder=options.output,
                build=make_building(interruption),
                environment=os.environ,
                tell=told,
                say=say,
                command=" ".join([command, *(f"--only {text}" for text in options.only)]),
            )
            execute(chosen, place)
            interruption.check("after its last run", f"its runs are in {options.output / RUNS_FILE}")
    tables = render_study(options.study, whole, read_runs(options.output), command)
    if options.into is None:
        print(tables)
        return 0
    page = options.into.read_text()
    options.into.write_text(replace_tables(page, format_marker(part), tables))
    return 0


def format_command(part: Part) -> str:
    """The command that does all runs of a study."""
    return f"model-builder reproduce {part.arguments} -o DIR"


def tell(progress: BuildProgress) -> None:
    """A sentence on a terminal, a line of JSON elsewhere."""
    tell_on(sys.stderr)(progress)


def say(message: str) -> None:
    """A line on stderr."""
    print(message, file=sys.stderr, flush=True)


Command = Callable[[argparse.Namespace], int]
COMMANDS: dict[str, Command] = {
    "build": build,
    "evaluate": evaluate,
    "export": export,
    "report": report,
    "reproduce": reproduce,
}
