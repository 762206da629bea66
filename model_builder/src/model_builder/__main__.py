"""`model-builder`: build, evaluate, export, report and reproduce from the command line.

Exit codes (docs/exit-codes.md): 0 done, 2 bad use or input, 3 corrupt artifact, 5 the data set is missing, altered or
did not arrive whole, 143 ended by SIGTERM, 130 by Ctrl-C, with the training saved. Errors are one sentence on stderr.
"""

import sys
from collections.abc import Sequence

from model_artifact.errors import ArtifactError, CorruptArtifactError
from model_artifact.termination import format_os_error
from model_builder.arguments import make_parser
from model_builder.errors import BuildError, BuildInterruptedError, DataError

EXIT_BAD_INPUT = 2
EXIT_CORRUPT = 3
EXIT_DATA = 5
EXIT_CTRL_C = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one sentence on stderr."""
    options = make_parser().parse_args(arguments)
    from model_builder.commands import COMMANDS

    try:
        return COMMANDS[options.command](options)
    except KeyboardInterrupt:
        return _fail("ended by Ctrl-C", EXIT_CTRL_C)
    except (ArtifactError, BuildError) as error:
        return _fail(str(error), choose_code(error))
    except OSError as error:
        return _fail(format_os_error(error), EXIT_BAD_INPUT)


def choose_code(error: Exception) -> int:
    """The exit code that tells a script what kind of failure it was."""
    match error:
        case BuildInterruptedError():
            return error.exit_code
        case DataError():
            return EXIT_DATA
        case CorruptArtifactError():
            return EXIT_CORRUPT
    return EXIT_BAD_INPUT


def _fail(sentence: str, code: int) -> int:
    print(f"model-builder: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
