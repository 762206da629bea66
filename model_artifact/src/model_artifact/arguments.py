"""The command line's own language: which commands there are and what they take."""

import argparse
import re
from pathlib import Path

from model_artifact.errors import LocationError
from model_artifact.location import Location, parse_location

STORE = Path("/store")
"""Where pods have the store mounted."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def make_parser() -> argparse.ArgumentParser:
    """The parser of `model-artifact`."""
    parser = argparse.ArgumentParser(prog="model-artifact", description="Deflate artifacts of compressed models.")
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="version folder or .tflite -> artifact")
    packing.add_argument("source", type=Path, help="folder that holds model.tflite, or any .tflite")
    packing.add_argument(
        "artifact", type=_parse_location, metavar="artifact", help="the .zip to write; or s3://BUCKET/KEY"
    )
    _add_unpack(commands.add_parser("unpack", help="artifact -> version folder, verified"))
    verifying = commands.add_parser("verify", help="check every byte of an artifact; writes nothing")
    verifying.add_argument("artifact", type=_parse_location, help="file, or s3://BUCKET/KEY")
    verifying.add_argument("--digest", help="content digest that is wanted, sha256:…")
    _add_verification(verifying)
    _add_sign(commands.add_parser("sign", help="artifact or version folder -> signature (OpenSSF model-signing)"))
    inspecting = commands.add_parser("inspect", help="what an artifact holds")
    inspecting.add_argument("artifact", type=_parse_location, help="file, or s3://BUCKET/KEY")
    inspecting.add_argument("--json", action="store_true", help="as JSON (docs/schemas), with the whole manifest")
    diffing = commands.add_parser("diff", help="two artifacts beside each other, verified")
    diffing.add_argument("a", type=_parse_location, metavar="A", help="file, or s3://BUCKET/KEY")
    diffing.add_argument("b", type=_parse_location, metavar="B")
    diffing.add_argument("--json", action="store_true", help="as JSON (docs/schemas)")
    _add_gc(commands.add_parser("gc", help="remove from a store what nothing names"))
    return parser


def _add_unpack(unpacking: argparse.ArgumentParser) -> None:
    unpacking.add_argument("artifact", type=_parse_location, help="file, or s3://BUCKET/KEY")
    unpacking.add_argument("folder", type=Path, help="folder to make; must not exist, be empty or hold the same files")
    unpacking.add_argument("--digest", help="content digest that is wanted, sha256:…")
    unpacking.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATH",
        help="a file, or a folder with all below it, that is left out; may be given again",
    )
    _add_verification(unpacking)
    unpacking.add_argument(
        "--summary", type=Path, metavar="FILE", help="write the artifact's facts, or the failure, there as JSON"
    )
    unpacking.add_argument(
        "--store",
        type=_parse_location,
        default=STORE,
        metavar="ROOT",
        help="root of the store, for the path in the facts (%(default)s)",
    )


def _add_verification(reading: argparse.ArgumentParser) -> None:
    reading.add_argument(
        "--public-key", type=Path, metavar="PEM", help="take it only when one of these keys has signed it"
    )
    reading.add_argument(
        "--signature", type=_parse_location, metavar="SIG", help="the signature, when it is not beside it as <name>.sig"
    )


def _add_sign(signing: argparse.ArgumentParser) -> None:
    signing.add_argument("model", type=_parse_location, help="artifact (file, or s3://BUCKET/KEY), or version folder")
    signing.add_argument(
        "--key", type=Path, required=True, metavar="PEM", help="private key that signs (docs/signing.md)"
    )
    signing.add_argument("--signature", type=_parse_location, metavar="SIG", help="where to put it (<model>.sig)")


def _add_gc(collecting: argparse.ArgumentParser) -> None:
    collecting.description = (
        "Removes artifacts that no recipe of the store names and no --keep, and what killed builds left half written."
        " What is younger than a day always stays: a build may be about to name it. Say at least one of --keep,"
        " --keep-recipes, --drop-recipes and --older-than."
    )
    collecting.add_argument(
        "store", type=_parse_location, help="root of a store: a mounted folder, or s3://BUCKET/PREFIX"
    )
    collecting.add_argument(
        "--keep", nargs="+", type=_parse_digest, default=[], metavar="DIGEST", help="content digests that stay"
    )
    named = collecting.add_mutually_exclusive_group()
    named.add_argument("--keep-recipes", action="store_true", help="what a recipe names stays, as it does by default")
    named.add_argument(
        "--drop-recipes",
        action="store_true",
        help="what a recipe names leaves as well, with its record; its model is built anew when it is wanted again",
    )
    collecting.add_argument(
        "--older-than", type=_parse_days, metavar="DAYS", help="only what is older leaves; at least 1 (the default)"
    )
    collecting.add_argument("--dry-run", action="store_true", help="remove nothing, say what would be")


def _parse_location(text: str) -> Location:
    try:
        return parse_location(text)
    except LocationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse_digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not sha256: and 64 hexadecimal digits")
    return text


def _parse_days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not days >= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, at least 1")
    return days
