"""The command line's own language: which commands there are and what they take."""

import argparse
from pathlib import Path
from typing import get_args

from model_artifact.recipe import Activations, Metric
from model_builder.reproduce.studies import Study


def make_parser() -> argparse.ArgumentParser:
    """The parser of `model-builder`."""
    parser = argparse.ArgumentParser(
        prog="model-builder", description="Train with prune-then-quantise in every step, pack, measure and compare."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_build(commands.add_parser("build", help="recipe -> artifact, trained and measured"))
    _add_evaluate(commands.add_parser("evaluate", help="how good an artifact is on the test data"))
    _add_export(commands.add_parser("export", help="artifact -> version folder that servers load"))
    _add_report(commands.add_parser("report", help="one HTML page and PNGs about artifacts"))
    _add_reproduce(commands.add_parser("reproduce", help="the papers' tables, run again"))
    return parser


def _add_build(building: argparse.ArgumentParser) -> None:
    building.add_argument("recipe", type=Path, help="what to build, JSON or YAML; see examples/recipes")
    _add_folder(building, "gets artifact.zip, log.jsonl and, while it runs, the checkpoint")
    building.add_argument(
        "--resume", action="store_true", help="go on with what is in the folder, or begin where nothing is"
    )
    _add_metrics(building)


def _add_evaluate(evaluating: argparse.ArgumentParser) -> None:
    evaluating.add_argument("artifact", type=Path, help="an artifact, or the folder of a build")
    evaluating.add_argument(
        "--metric", choices=get_args(Metric), help="how to judge; by default as the artifact's recipe says"
    )
    evaluating.add_argument("--json", action="store_true", help="as JSON")


def _add_export(exporting: argparse.ArgumentParser) -> None:
    exporting.add_argument("artifact", type=Path, help="an artifact, or the folder of a build")
    exporting.add_argument("folder", type=Path, help="folder to make; must not exist, or be empty")
    exporting.add_argument(
        "--activations",
        choices=get_args(Activations),
        help="how model.tflite computes; by default as it was built, otherwise the folder of a build is needed",
    )


def _add_report(reporting: argparse.ArgumentParser) -> None:
    reporting.add_argument(
        "sources", type=Path, nargs="+", metavar="DIR|ARTIFACT", help="folders of builds, or artifacts"
    )
    _add_folder(reporting, "gets report.html and its pictures")


def _add_reproduce(reproducing: argparse.ArgumentParser) -> None:
    reproducing.add_argument("study", choices=get_args(Study), help="which tables")
    reproducing.add_argument("--quick", action="store_true", help="a part for two cores: the CNN, few epochs")
    reproducing.add_argument(
        "--epochs", type=int, metavar="N", help="of every run, in the place of the study's own: as many as fit"
    )
    reproducing.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="only runs with this in their name, such as --only=-s1; may be repeated",
    )
    _add_folder(reproducing, "holds runs.jsonl and a folder for each run; runs that it has are not done again")
    _add_metrics(reproducing)
    showing = reproducing.add_mutually_exclusive_group()
    showing.add_argument("--list", action="store_true", help="print the names of the runs and do none")
    showing.add_argument(
        "--prepare", action="store_true", help="write each run's recipe into its folder, for another machine to train"
    )
    showing.add_argument("--markdown", action="store_true", help="print the tables of what was run, and run nothing")
    showing.add_argument("--into", type=Path, metavar="PAGE", help="as --markdown, but between its markers in a page")


def _add_metrics(command: argparse.ArgumentParser) -> None:
    command.add_argument("--metrics-port", type=int, metavar="PORT", help="show the training to Prometheus there")
    command.add_argument(
        "--metrics-file", type=Path, metavar="FILE", help="write it into a file for node-exporter's textfile collector"
    )


def _add_folder(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help=what)
