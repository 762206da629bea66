"""`model-builder`: build, evaluate, export, report and reproduce from the command line.

Exit codes (docs/exit-codes.md): 0 done, 2 bad use or input, 3 corrupt artifact, 5 the data set is missing, altered or
did not arrive whole, 143 ended by SIGTERM or Ctrl-C with the training saved. Errors are one sentence on stderr.
"""

import signal
import sys
from collections.abc import Sequence

from model_artifact.errors import ArtifactError, CorruptArtifactError
from model_artifact.termination import format_os_error
from model_builder.arguments import make_parser
from model_builder.errors import BuildError, DataError, TrainingInterruptedError

EXIT_BAD_INPUT = 2
EXIT_CORRUPT = 3
EXIT_DATA = 5
EXIT_TERMINATED = 128 + signal.SIGTERM


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one sentence on stderr."""
    options = make_parser().parse_args(arguments)
    from model_builder.commands import COMMANDS

    try:
        return COMMANDS[options.command](options)
    except TrainingInterruptedError as error:
        return _fail(str(error), EXIT_TERMINATED)
    except DataError as error:
        return _fail(str(error), EXIT_DATA)
    except CorruptArtifactError as error:
        return _fail(str(error), EXIT_CORRUPT)
    except (ArtifactError, BuildError) as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    except OSError as error:
        return _fail(format_os_error(error), EXIT_BAD_INPUT)


def _fail(sentence: str, code: int) -> int:
    print(f"model-builder: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
