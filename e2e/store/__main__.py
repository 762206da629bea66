"""`python -m store`: builds the S3 server when it is not there and prints where it is; progress on stderr."""

import sys

from store.errors import StoreServerError
from store.programs import build_server, tell_on_stderr


def main() -> int:
    """Build it; 0, or 1 with one sentence on stderr."""
    try:
        print(build_server(tell_on_stderr))
    except StoreServerError as error:
        print(f"store: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"store: {error}: free some space or mend the rights, and run again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
