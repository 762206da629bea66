"""`python -m adapter`: builds prometheus-adapter when it is not there and prints where it is; progress on stderr."""

import sys

from images.errors import ImageError

from adapter.programs import build_adapter, tell_on_stderr


def main() -> int:
    """Build it; 0, or 1 with one sentence on stderr."""
    try:
        print(build_adapter(tell_on_stderr))
    except ImageError as error:
        print(f"adapter: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"adapter: {error}: free some space or mend the rights, and run again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
