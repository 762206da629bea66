"""The command line: kubectl's own options for choosing a cluster, and ours. Pure."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

# Handed to kubectl as they are.
_PASSED: Final = (
    "kubeconfig",
    "context",
    "cluster",
    "user",
    "server",
    "token",
    "as",
    "as-group",
    "certificate-authority",
    "request-timeout",
)
SERVER, BUILD, UNPACK = "server", "build", "unpack"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        names: of models.
        options: of kubectl's own.
        part: whose log is asked for; empty: of what concerns the model most.
    """

    command: Literal["status", "why", "logs", "compare", "list"]
    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    namespace: str = ""
    everywhere: bool = False
    as_json: bool = False
    part: str = ""
    follow: bool = False
    tail: int = -1


def parse_arguments(arguments: Sequence[str] | None, version: str) -> Request:
    """What the command line asks for; argparse ends the process where it cannot be understood."""
    options = _build_parser(version).parse_args(arguments)
    stated = vars(options)
    passed = [f"--{name}={stated[_key(name)]}" for name in _PASSED if stated.get(_key(name)) is not None]
    if stated.get("insecure_skip_tls_verify"):
        passed.append("--insecure-skip-tls-verify")
    models = [stated.get(key) for key in ("name", "first", "second")]
    return Request(
        options.command,
        tuple(str(name) for name in models if name),
        tuple(passed),
        stated.get("namespace", ""),
        everywhere=stated.get("everywhere", False),
        as_json=stated.get("output") == "json",
        part=stated.get("part") or "",
        follow=stated.get("follow", False),
        tail=stated.get("tail", -1),
    )


def _key(name: str) -> str:
    return f"passed_{name.replace('-', '_')}"


def _build_parser(version: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubectl cmod", description="What CompressedModels do and why.", parents=[_shared()], allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, words in (
        ("status", "one model as a tree: build, artifact, pods, KPIs, savings, and why it is not ready"),
        ("why", "why a model is not ready, what to do, and what was said last"),
        ("logs", "the log of a model's build or servers"),
        ("compare", "two models side by side"),
        ("list", "all models, one in a line"),
    ):
        parents = [_shared()]
        sub = commands.add_parser(command, help=words, description=words, parents=parents, allow_abbrev=False)
        _add_own(sub, command)
    return parser


def _add_own(parser: argparse.ArgumentParser, command: str) -> None:
    if command in {"status", "why", "logs"}:
        parser.add_argument("name", help="the CompressedModel")
    if command == "compare":
        parser.add_argument("first")
        parser.add_argument("second")
    if command == "list":
        parser.add_argument("-A", "--all-namespaces", dest="everywhere", action="store_true", default=argparse.SUPPRESS)
    if command == "logs":
        parser.add_argument("part", nargs="?", choices=(BUILD, SERVER, UNPACK), help="default: what hinders the model")
        parser.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
        parser.add_argument("--tail", type=int, default=-1, metavar="LINES", help="only the last lines")
    else:
        parser.add_argument("-o", "--output", choices=("json",), help="for programs")


def _shared() -> argparse.ArgumentParser:
    """The options of kubectl, which may stand before or after the command."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("as kubectl has them")
    group.add_argument("-n", "--namespace", default=argparse.SUPPRESS)
    for name in _PASSED:
        short = ["-s"] if name == "server" else []
        group.add_argument(*short, f"--{name}", dest=_key(name), default=argparse.SUPPRESS, metavar="…")
    group.add_argument("--insecure-skip-tls-verify", action="store_true", default=argparse.SUPPRESS)
    return parser
