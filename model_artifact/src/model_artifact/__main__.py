"""`model-artifact`: pack, unpack, verify, inspect, compare and collect from the command line.

Exit codes (docs/exit-codes.md): 0 done, 1 the two artifacts of `diff` differ, 2 bad use or input, 3 corrupt artifact,
4 not the artifact that was asked for. Results go to stdout; progress and errors, one sentence each, to stderr. With
`--summary`, unpacking also leaves a document for the operator: what the artifact is, or why it was not unpacked.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from model_artifact.archive_reader import ArchiveReader
from model_artifact.arguments import make_parser
from model_artifact.collection import Policy, find_leaving, remove
from model_artifact.difference import compare
from model_artifact.documents import format_json, render_inspection
from model_artifact.errors import ArtifactError, CorruptArtifactError, DigestMismatchError, UnpackableError
from model_artifact.inspection import inspect, render_summary, unpack_and_inspect, verify_and_inspect
from model_artifact.manifest_reader import read_manifest
from model_artifact.model_file import pack_model_file
from model_artifact.packing import pack
from model_artifact.summary import Failure
from model_artifact.tables import format_difference, format_facts
from model_artifact.termination import TerminationLog, format_os_error
from model_artifact.unpacking import NoMemoryError, unpack
from model_artifact.verification import verify

EXIT_DIFFERENT = 1
EXIT_BAD_INPUT = 2
EXIT_CORRUPT = 3
EXIT_DIGEST_MISMATCH = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one sentence on stderr."""
    options = make_parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except DigestMismatchError as error:
        return _fail(error, EXIT_DIGEST_MISMATCH)
    except CorruptArtifactError as error:
        return _fail(error, EXIT_CORRUPT)
    except (ArtifactError, OSError) as error:
        return _fail(error, EXIT_BAD_INPUT)


def _fail(error: Exception, code: int) -> int:
    print(f"model-artifact: {_sentence(error)}", file=sys.stderr)
    return code


def _sentence(error: Exception) -> str:
    return format_os_error(error) if isinstance(error, OSError) else str(error)


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


def _pack(options: argparse.Namespace) -> int:
    """Pack, and take back what the limits of reading (docs/artifact-safety.md) would refuse: nobody could unpack it."""
    pack_source = pack_model_file if options.source.is_file() else pack
    manifest = pack_source(options.source, options.artifact, progress=_tell)
    try:
        with ArchiveReader(str(options.artifact)) as archive:
            read_manifest(archive)
    except CorruptArtifactError as error:
        options.artifact.unlink()
        raise UnpackableError(f"{options.source}: no reader would take its artifact ({error})") from error
    print(f"{manifest.digest} {options.artifact.stat().st_size} bytes")
    return 0


def _unpack(options: argparse.Namespace) -> int:
    """Unpack, leave the summary or the failure where that is wanted, and print the content digest."""
    if options.summary is None:
        print(unpack(options.artifact, options.folder, digest=options.digest, progress=_tell).digest)
        return 0
    with closing(TerminationLog(options.summary)) as log:
        try:
            facts = unpack_and_inspect(options.artifact, options.folder, digest=options.digest, progress=_tell)
        except ArtifactError as error:
            log.write(Failure(error=str(error), permanent=not isinstance(error, NoMemoryError)))
            raise
        except OSError as error:  # a volume may be filled or mounted later
            log.write(Failure(error=format_os_error(error), permanent=False))
            raise
        log.write(render_summary(facts, format_store_path(options.artifact, options.store)))
    print(facts.digest)
    return 0


def format_store_path(artifact: Path, store: Path) -> str:
    """The artifact's path below the store's root; of one that lies elsewhere, its name alone."""
    return artifact.relative_to(store).as_posix() if artifact.is_relative_to(store) else artifact.name


def _verify(options: argparse.Namespace) -> int:
    print(verify(options.artifact, digest=options.digest, progress=_tell).digest)
    return 0


def _inspect(options: argparse.Namespace) -> int:
    facts = inspect(options.artifact, progress=_tell)
    print(format_json(render_inspection(facts)) if options.json else format_facts(facts))
    return 0


def _diff(options: argparse.Namespace) -> int:
    difference = compare(*(verify_and_inspect(path, progress=_tell) for path in (options.a, options.b)))
    print(format_json(difference) if options.json else format_difference(difference))
    return 0 if difference.same else EXIT_DIFFERENT


def _collect(options: argparse.Namespace) -> int:
    """Remove from a store what the policy lets go, and print each path with its bytes, then the sum."""
    if not (options.keep or options.keep_recipes or options.drop_recipes or options.older_than):
        raise ArtifactError("gc: say what stays: --keep, --keep-recipes, --drop-recipes or --older-than")
    policy = Policy(
        keep=frozenset(options.keep),
        keep_recipes=not options.drop_recipes,
        older_than_days=options.older_than or 1.0,
    )
    removed, total_bytes = 0, 0
    for leaving in find_leaving(options.store, policy, time.time()):
        if options.dry_run or remove(leaving):
            removed, total_bytes = removed + 1, total_bytes + leaving.size_bytes
            print(f"{leaving.size_bytes:>15,} {leaving.path.relative_to(options.store)}")
    print(f"{total_bytes:>15,} bytes in {removed} {'would be removed' if options.dry_run else 'removed'}")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "pack": _pack,
    "unpack": _unpack,
    "verify": _verify,
    "inspect": _inspect,
    "diff": _diff,
    "gc": _collect,
}


if __name__ == "__main__":
    sys.exit(main())
