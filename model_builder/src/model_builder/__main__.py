"""`model-builder RECIPE.json ARTIFACT.zip`: one recipe in, one artifact out.

Exit codes (docs/exit-codes.md): 0 done, 2 bad use or input, 5 the data set is missing, altered or did not arrive whole.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model_artifact.errors import ArtifactError
from model_artifact.recipe import Recipe, parse_recipe
from model_artifact.summary import BuildProgress
from model_builder.errors import BuildError, DataError
from model_builder.loading import load_and_build

EXIT_BAD_INPUT = 2
EXIT_DATA = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one artifact; errors are one sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        recipe = parse_recipe(options.recipe.read_text(), str(options.recipe))
        _build(recipe, options.artifact)
    except DataError as error:
        return _fail(error, EXIT_DATA)
    except (ArtifactError, BuildError, OSError, UnicodeDecodeError) as error:
        return _fail(error, EXIT_BAD_INPUT)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="model-builder", description="Train with prune-then-quantise in every step and pack the result."
    )
    parser.add_argument("recipe", type=Path, help="what to build, JSON; see examples/recipes")
    parser.add_argument("artifact", type=Path, help="the .zip to write")
    return parser


def _build(recipe: Recipe, target: Path) -> None:
    manifest = load_and_build(recipe, target, os.environ, _tell)
    print(f"{manifest.digest} {target.stat().st_size} bytes {target}")


def _tell(progress: BuildProgress) -> None:
    print(progress.message, file=sys.stderr, flush=True)


def _fail(error: Exception, code: int) -> int:
    print(f"model-builder: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
