"""`model-artifact`: pack, unpack and inspect from the command line.

Exit codes (docs/exit-codes.md): 0 done, 2 bad use or input, 3 corrupt artifact, 4 not the artifact that was asked for.
With `--summary`, unpacking also leaves a document for the operator: what the artifact is, or why it was not unpacked.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from model_artifact.errors import ArtifactError, CorruptArtifactError, DigestMismatchError
from model_artifact.inspection import ArtifactFacts, inspect, render_summary, unpack_and_inspect
from model_artifact.packing import pack
from model_artifact.summary import Failure
from model_artifact.termination import TerminationLog, format_os_error
from model_artifact.unpacking import unpack

STORE = Path("/store")
"""Where pods have the store mounted."""
EXIT_BAD_INPUT = 2
EXIT_CORRUPT = 3
EXIT_DIGEST_MISMATCH = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model-artifact", description="Deflate artifacts of compressed models.")
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="version folder -> artifact")
    packing.add_argument("folder", type=Path, help="folder that holds model.tflite")
    packing.add_argument("artifact", type=Path, help="the .zip to write")
    unpacking = commands.add_parser("unpack", help="artifact -> version folder, verified")
    unpacking.add_argument("artifact", type=Path)
    unpacking.add_argument("folder", type=Path, help="folder to make; must not exist, be empty or hold the same files")
    unpacking.add_argument("--digest", help="content digest that is wanted, sha256:…")
    unpacking.add_argument(
        "--summary", type=Path, metavar="FILE", help="write the artifact's facts, or the failure, there as JSON"
    )
    unpacking.add_argument(
        "--store",
        type=Path,
        default=STORE,
        metavar="DIR",
        help="root of the store, for the path in the facts (%(default)s)",
    )
    inspecting = commands.add_parser("inspect", help="what an artifact holds")
    inspecting.add_argument("artifact", type=Path)
    inspecting.add_argument("--json", action="store_true", help="as JSON, with the whole manifest")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "pack":
        manifest = pack(options.folder, options.artifact, progress=_tell)
        print(f"{manifest.digest} {options.artifact.stat().st_size} bytes")
    elif options.command == "unpack":
        print(_unpack(options))
    else:
        facts = inspect(options.artifact)
        print(format_json(facts) if options.json else format_table(facts))
    return 0


def _unpack(options: argparse.Namespace) -> str:
    """Unpack, leave the summary or the failure where that is wanted, and return the content digest."""
    if options.summary is None:
        return unpack(options.artifact, options.folder, digest=options.digest, progress=_tell).digest
    with closing(TerminationLog(options.summary)) as log:
        try:
            facts = unpack_and_inspect(options.artifact, options.folder, digest=options.digest, progress=_tell)
        except ArtifactError as error:
            log.write(Failure(error=str(error), permanent=True))
            raise
        except OSError as error:  # a volume may be filled or mounted later
            log.write(Failure(error=format_os_error(error), permanent=False))
            raise
        log.write(render_summary(facts, format_store_path(options.artifact, options.store)))
    return facts.digest


def format_store_path(artifact: Path, store: Path) -> str:
    """The artifact's path below the store's root; of one that lies elsewhere, its name alone."""
    return artifact.relative_to(store).as_posix() if artifact.is_relative_to(store) else artifact.name


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


def format_json(facts: ArtifactFacts) -> str:
    """The facts as JSON."""
    return json.dumps(
        {
            "digest": facts.digest,
            "sizeBytes": facts.size_bytes,
            "unpackedBytes": facts.unpacked_bytes,
            "weights": facts.weights,
            "zerosPercent": facts.zeros_percent,
            "bitsPerWeight": facts.bits_per_weight,
            "entropyBitsPerWeight": facts.entropy_bits_per_weight,
            "tensors": [asdict(tensor) | {"bits_per_weight": tensor.bits_per_weight} for tensor in facts.tensors],
            "manifest": facts.manifest.model_dump(mode="json", by_alias=True),
        },
        indent=2,
    )


def format_table(facts: ArtifactFacts) -> str:
    """The facts for a person: a line a tensor, then the whole."""
    rows = [("tensor", "shape", "type", "coder", "zeros", "entropy", "stored", "bytes")]
    rows += [
        (
            tensor.name,
            "x".join(map(str, tensor.shape)),
            tensor.dtype,
            tensor.coder,
            f"{100 * tensor.zeros / tensor.weights:.2f} %" if tensor.weights else "-",
            f"{tensor.entropy_bits_per_weight:.3f}",
            f"{tensor.bits_per_weight:.3f}",
            f"{tensor.stored_bytes:,}",
        )
        for tensor in facts.tensors
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if column < 4 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    overhead = facts.size_bytes - facts.weight_bytes
    whole = [
        "",
        f"digest    {facts.digest}",
        f"size      {facts.size_bytes:,} bytes, of which {overhead:,} are graph, golden answers, manifest and ZIP",
        f"unpacked  {facts.unpacked_bytes:,} bytes in {len(facts.manifest.content.files)} files",
        f"weights   {facts.weights:,}, {facts.zeros_percent:.2f} % zero",
        f"stored in {facts.bits_per_weight:.3f} bits a weight; order-0 entropy {facts.entropy_bits_per_weight:.3f}",
    ]
    provenance = facts.manifest.content.provenance
    if provenance is not None:
        whole.append(f"recipe    {provenance.recipe.digest}")
        whole.append(f"quality   {_format_quality(facts)}")
    return "\n".join(lines + whole)


def _format_quality(facts: ArtifactFacts) -> str:
    provenance = facts.manifest.content.provenance
    if provenance is None or provenance.quality is None or provenance.dataset is None:
        return "untrained: size, speed and memory only"
    quality = provenance.quality
    return (
        f"{quality.metric} {quality.deployed:.2f} % deployed, {quality.float_model:.2f} % in float32,"
        f" {quality.samples} images of {provenance.dataset.name}"
    )


if __name__ == "__main__":
    sys.exit(main())
