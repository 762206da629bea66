"""The command `tensorflow_model_server` (also `model-server`): flags in, exit code out."""

import logging
import sys
from importlib.metadata import version
from pathlib import Path

from model_server.cpu_limit import read_processors
from model_server.errors import StartupError
from model_server.flags import format_usage, parse_arguments
from model_server.memory import limit_arenas
from model_server.server import run_server
from model_server.settings import load_settings

EXIT_REFUSED = 255


def main() -> None:
    """Run the server and exit: 0 after a drain, 255 when it cannot start."""
    sys.exit(run(sys.argv[0], sys.argv[1:]))


def run(program: str, arguments: list[str]) -> int:
    """Everything but the exit itself."""
    if arguments[:1] == ["bench"]:
        from model_server.engine_bench import run_bench

        return run_bench(arguments[1:])
    command_line = parse_arguments(arguments)
    usage = format_usage(Path(program).name)
    for problem in command_line.problems:
        print(problem, file=sys.stderr)
    if command_line.problems or command_line.wants_help:
        print(usage)
        return EXIT_REFUSED
    if command_line.values.get("version"):
        print(f"Modelpress model server: {version('modelpress-server')}\nLiteRT: {version('ai-edge-litert')}")
        return 0
    for argument in command_line.unknown:
        # Nothing may wait in the stream, past which the access log is written: it could fail or hold up the exit.
        print(f"unknown argument: {argument}\n{usage}", flush=True)
    for name in command_line.without_effect():
        print(f"--{name}: accepted, no effect", file=sys.stderr)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    limit_arenas()
    try:
        run_server(load_settings(command_line.values, read_processors()))
    except StartupError as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    return 0


if __name__ == "__main__":
    main()
