"""What the form of the activations costs: one training, exported three times and measured after unpacking.

usage: python e2e/bench/export_forms.py DIR…

Each DIR is a finished build of `model-builder build`, which keeps what it trained. Nothing is trained here: the codes
are the same in every row. MODELPRESS_DATA is read as for a build. This is the table of docs/quality.md.
"""

import os
import sys
import tempfile
from pathlib import Path

from model_artifact.manifest import Manifest
from model_artifact.recipe import Activations, Recipe
from model_artifact.summary import BuildProgress
from model_artifact.unpacking import unpack
from model_builder.checkpoint import Checkpoints
from model_builder.loading import load_and_build
from model_builder.recipe_file import read_recipe

FORMS: tuple[Activations, ...] = ("Float", "Dynamic", "Integer")
HEADINGS = ("recipe", "activations", "deployed %", "float32 %", "same class %", "difference", "model.tflite bytes")


def export(folder: Path, activations: Activations, scratch: Path) -> tuple[Manifest, int]:
    """The manifest of the build in another form, and the length of its model.tflite."""
    recipe = read_recipe(folder / "recipe.json")
    export = recipe.export.model_copy(update={"activations": activations})
    changed = Recipe.model_validate({**recipe.model_dump(), "export": export})
    artifact = scratch / f"{activations}.zip"
    manifest = load_and_build(changed, artifact, os.environ, tell, checkpoints=Checkpoints(folder / "checkpoint"))
    unpack(artifact, scratch / activations)
    return manifest, (scratch / activations / "model.tflite").stat().st_size


def tell(progress: BuildProgress) -> None:
    """Progress goes to stderr."""
    print(progress.message, file=sys.stderr, flush=True)


def render_row(folder: Path, activations: Activations, manifest: Manifest, model_bytes: int) -> str:
    """One line of the table."""
    made = manifest.content.provenance
    if made is None or made.quality is None or made.quality.agreement_percent is None:
        sys.exit(f"{folder}: not trained in full, so its quality means nothing; give a finished build")
    quality = made.quality
    numbers = (f"{quality.deployed:.2f}", f"{quality.float_model:.2f}", f"{quality.agreement_percent:.2f}")
    cells = (folder.name, activations, *numbers, f"{made.export_difference:g}", f"{model_bytes:,}")
    return f"| {' | '.join(cells)} |"


def main(folders: list[Path]) -> None:
    """Print the table."""
    if not folders:
        sys.exit(__doc__)
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    for folder in folders:
        with tempfile.TemporaryDirectory() as scratch:
            for activations in FORMS:
                print(render_row(folder, activations, *export(folder, activations, Path(scratch))), flush=True)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
