"""`python -m monitoring`: prints the name of the image and its archive, a line each; progress on stderr."""

import sys

from monitoring.errors import MonitoringError
from monitoring.image import tell_on_stderr, write_image


def main() -> int:
    """Build it when it is not there; 0, or 1 with one sentence on stderr."""
    try:
        image = write_image(tell_on_stderr)
    except MonitoringError as error:
        print(f"monitoring: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"monitoring: {error}: free some space or mend the rights, and run again", file=sys.stderr)
        return 1
    print(f"{image.name}\n{image.archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
