"""`python -m dashboards [--check]`: writes the chart's dashboards, or says which differ from what would be written."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from dashboards.fleet_board import render_fleet
from dashboards.model_board import render_model
from dashboards.operator_board import render_operator

FOLDER = Path(__file__).resolve().parents[2] / "charts" / "modelpress" / "dashboards"


def render_files() -> dict[str, str]:
    """Every dashboard's text by its file's name."""
    boards = {"fleet": render_fleet(), "model": render_model(), "operator": render_operator()}
    return {f"{name}.json": json.dumps(board, indent=1, ensure_ascii=False) + "\n" for name, board in boards.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them; with --check 1 where a file differs."""
    parser = argparse.ArgumentParser(prog="dashboards", description="The chart's Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a file differs")
    check = parser.parse_args(arguments).check
    differing = [name for name, text in render_files().items() if _read(FOLDER / name) != text]
    for name in differing:
        if not check:
            (FOLDER / name).write_text(render_files()[name])
        print(f"dashboards: {FOLDER.name}/{name} {'differs: run `python -m dashboards`' if check else 'is written'}")
    return 1 if check and differing else 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
