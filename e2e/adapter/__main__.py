"""`python -m adapter`: builds prometheus-adapter when it is not there and prints where it is; progress on stderr."""

import sys

from images.errors import ImageError
from images.steps import report_build, tell_on_stderr

from adapter.programs import MODULE

if __name__ == "__main__":
    sys.exit(report_build("adapter", lambda: MODULE.build_program(tell_on_stderr), ImageError))
