"""`python -m model_artifact.schemas FOLDER`: the JSON schemas of what `--json` prints, one file a command."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from model_artifact.documents import DiffDocument, InspectDocument
from model_artifact.recipe import Contract

DOCUMENTS: dict[str, type[Contract]] = {"inspect": InspectDocument, "diff": DiffDocument}


def render_schemas() -> dict[str, str]:
    """Each schema's text by its file name."""
    return {
        f"{command}.schema.json": json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema"}
            | document.model_json_schema(by_alias=True, mode="serialization"),
            indent=2,
            sort_keys=True,
        )
        + "\n"
        for command, document in DOCUMENTS.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schemas."""
    parser = argparse.ArgumentParser(prog="python -m model_artifact.schemas", description="Writes the JSON schemas.")
    parser.add_argument("folder", type=Path, help="docs/schemas of the repository")
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render_schemas().items():
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
