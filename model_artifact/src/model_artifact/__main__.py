"""`model-artifact`: pack, unpack, verify, inspect, compare and collect from the command line.

Exit codes (docs/exit-codes.md): 0 done, 1 the two artifacts of `diff` differ, 2 bad use or input, 3 corrupt artifact,
4 not the artifact that was asked for, 7 a signature that does not vouch for it, 8 no signature. Results go to stdout;
progress and errors, one sentence each, to stderr. With `--summary`, unpacking also leaves a document for the operator:
what the artifact is, or why it was not unpacked.

Each command imports what it alone needs: a pod waits for `unpack`, whose start is most of its time.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from model_artifact.archive_reader import ArchiveReader
from model_artifact.arguments import make_parser
from model_artifact.errors import (
    ArtifactError,
    CorruptArtifactError,
    DigestMismatchError,
    ObjectMissingError,
    SignatureInvalidError,
    SignatureMissingError,
    StoreAccessError,
    UnpackableError,
)
from model_artifact.inspection import inspect, render_summary, unpack_and_inspect, verify_and_inspect
from model_artifact.location import Location
from model_artifact.manifest import Manifest
from model_artifact.manifest_reader import read_manifest
from model_artifact.summary import Failure
from model_artifact.termination import TerminationLog, format_os_error
from model_artifact.unpacking import NoMemoryError, unpack
from model_artifact.verification import verify

EXIT_DIFFERENT = 1
EXIT_BAD_INPUT = 2
EXIT_CORRUPT = 3
EXIT_DIGEST_MISMATCH = 4
EXIT_STORE = 6
EXIT_SIGNATURE_INVALID = 7
EXIT_SIGNATURE_MISSING = 8

# The first kind that fits tells the code; any other error is bad input.
_EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (DigestMismatchError, EXIT_DIGEST_MISMATCH),
    (CorruptArtifactError, EXIT_CORRUPT),
    (SignatureInvalidError, EXIT_SIGNATURE_INVALID),
    (SignatureMissingError, EXIT_SIGNATURE_MISSING),
    (ObjectMissingError, EXIT_BAD_INPUT),
    (StoreAccessError, EXIT_STORE),
)

_PASSING = (NoMemoryError, StoreAccessError, SignatureMissingError)
"""What may be mended while the artifact stays as it is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one sentence on stderr."""
    options = make_parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except (ArtifactError, OSError) as error:
        print(f"model-artifact: {_sentence(error)}", file=sys.stderr)
        return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), EXIT_BAD_INPUT)


def _sentence(error: Exception) -> str:
    return format_os_error(error) if isinstance(error, OSError) else str(error)


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


def _pack(options: argparse.Namespace) -> int:
    """Pack, and take back what the limits of reading (docs/artifact-safety.md) would refuse: nobody could unpack it."""
    from model_artifact.model_file import pack_model_file
    from model_artifact.packing import pack
    from model_artifact.publishing import writable_file

    pack_source = pack_model_file if options.source.is_file() else pack
    with writable_file(options.artifact, _tell) as file:
        manifest = pack_source(options.source, file, progress=_tell)
        try:
            with ArchiveReader(file) as archive:
                read_manifest(archive)
        except CorruptArtifactError as error:
            file.unlink()
            raise UnpackableError(f"{options.source}: no reader would take its artifact ({error})") from error
        size_bytes = file.stat().st_size
    print(f"{manifest.digest} {size_bytes} bytes")
    return 0


def _unpack(options: argparse.Namespace) -> int:
    """Unpack, leave the summary or the failure where that is wanted, and print the content digest."""
    if options.summary is None:
        approve = _load_approval(options)
        manifest = unpack(
            options.artifact,
            options.folder,
            digest=options.digest,
            exclude=options.exclude,
            approve=approve,
            progress=_tell,
        )
        print(manifest.digest)
        return 0
    with closing(TerminationLog(options.summary)) as log:
        try:
            approve = _load_approval(options)
            facts = unpack_and_inspect(
                options.artifact,
                options.folder,
                digest=options.digest,
                exclude=options.exclude,
                approve=approve,
                progress=_tell,
            )
        except ArtifactError as error:
            log.write(Failure(error=str(error), permanent=not isinstance(error, _PASSING)))
            raise
        except OSError as error:  # a volume may be filled or mounted later
            log.write(Failure(error=format_os_error(error), permanent=False))
            raise
        log.write(render_summary(facts, format_store_path(options.artifact, options.store)))
    print(facts.digest)
    return 0


def format_store_path(artifact: Location, store: Location) -> str:
    """The artifact's path below the store's root; of one that lies elsewhere its name alone, or its whole key."""
    if not isinstance(artifact, Path):
        root = f"{store}/"
        return str(artifact).removeprefix(root) if str(artifact).startswith(root) else artifact.key
    if isinstance(store, Path) and artifact.is_relative_to(store):
        return artifact.relative_to(store).as_posix()
    return artifact.name


def _load_approval(options: argparse.Namespace) -> Callable[[Manifest], None]:
    """What a manifest must stand before it is believed: a trusted key's signature, where keys are given."""
    if options.public_key is None:
        if options.signature is not None:
            raise ArtifactError("--signature is read only where --public-key says whose it must be; give both")
        return lambda _: None
    from model_artifact.signing_command import load_approval

    return load_approval(options)


def _verify(options: argparse.Namespace) -> int:
    """Verify an artifact, signed or not, or a folder, which must be signed since nothing else tells of its bytes."""
    if isinstance(options.artifact, Path) and options.artifact.is_dir():
        if options.public_key is None or options.digest is not None:
            raise ArtifactError(
                f"{options.artifact}: a folder is verified by --public-key alone; give that, or an artifact"
            )
        from model_artifact.signing_command import verify_folder

        print(f"{verify_folder(options.artifact, options, _tell)} files, all as they were signed")
        return 0
    print(verify(options.artifact, digest=options.digest, approve=_load_approval(options), progress=_tell).digest)
    return 0


def _sign(options: argparse.Namespace) -> int:
    from model_artifact.signing_command import sign_model

    print(sign_model(options, _tell))
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from model_artifact.documents import format_json, render_inspection
    from model_artifact.tables import format_facts

    facts = inspect(options.artifact, progress=_tell)
    print(format_json(render_inspection(facts)) if options.json else format_facts(facts))
    return 0


def _diff(options: argparse.Namespace) -> int:
    from model_artifact.difference import compare
    from model_artifact.documents import format_json
    from model_artifact.tables import format_difference

    difference = compare(*(verify_and_inspect(path, progress=_tell) for path in (options.a, options.b)))
    print(format_json(difference) if options.json else format_difference(difference))
    return 0 if difference.same else EXIT_DIFFERENT


def _collect(options: argparse.Namespace) -> int:
    """Remove from a store what the policy lets go, and print each path with its bytes, then the sum."""
    from model_artifact.collection import Policy, find_leaving
    from model_artifact.store_views import open_view

    if not (options.keep or options.keep_recipes or options.drop_recipes or options.older_than):
        raise ArtifactError("gc: say what stays: --keep, --keep-recipes, --drop-recipes or --older-than")
    policy = Policy(
        keep=frozenset(options.keep),
        keep_recipes=not options.drop_recipes,
        older_than_days=options.older_than or 1.0,
    )
    removed, total_bytes = 0, 0
    store = open_view(options.store)
    for leaving in find_leaving(store, policy, time.time()):
        if options.dry_run or store.remove(leaving):
            removed, total_bytes = removed + 1, total_bytes + leaving.size_bytes
            print(f"{leaving.size_bytes:>15,} {leaving.path}")
    print(f"{total_bytes:>15,} bytes in {removed} {'would be removed' if options.dry_run else 'removed'}")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "pack": _pack,
    "unpack": _unpack,
    "verify": _verify,
    "sign": _sign,
    "inspect": _inspect,
    "diff": _diff,
    "gc": _collect,
}


if __name__ == "__main__":
    sys.exit(main())
