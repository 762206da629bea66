"""`python -m store`: builds the S3 server when it is not there and prints where it is; progress on stderr."""

import sys

from images.steps import report_build, tell_on_stderr

from store.errors import StoreServerError
from store.programs import build_server

if __name__ == "__main__":
    sys.exit(report_build("store", lambda: build_server(tell_on_stderr), StoreServerError))
