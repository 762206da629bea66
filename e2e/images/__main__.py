"""`python -m images [TARGET …] [--push PREFIX]`: prints the name of each image, a line a target; progress on stderr."""

import argparse
import sys
from collections.abc import Sequence

from images.building import push_images, write_archives
from images.errors import ImageError
from images.sources import TARGETS
from images.steps import tell_on_stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what was asked for; 0 when all of it is there, 1 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="images", description="Build the images of Modelpress with buildah.")
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help=f"{', '.join(TARGETS)}: all without one; or flask-baseline, load-generator",
    )
    parser.add_argument("--push", metavar="PREFIX", help="push to this registry and path, and write no archives")
    options = parser.parse_args(arguments)
    targets = options.targets or TARGETS
    try:
        names = (
            push_images(targets, options.push, tell_on_stderr)
            if options.push
            else write_archives(targets, tell_on_stderr)
        )
    except ImageError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"images: {error}: free some space or mend the rights, and run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("\n".join(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
