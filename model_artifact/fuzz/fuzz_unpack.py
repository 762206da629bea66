# ruff: noqa: INP001, S311  (a script beside the package, not of it)
"""Gives mutated artifacts to `unpack`, `verify` and `inspect` until one of them breaks a promise of `unpack_check`.

    PYTHONPATH=model_artifact/src build/fuzz/bin/python model_artifact/fuzz/fuzz_unpack.py --runs 1000000

With atheris, new inputs are kept when they reach new code; without it, seeds are altered at random.
"""

import argparse
import collections
import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
SEEDS = HERE / "corpus" / "seeds"
FOUND = HERE / "corpus" / "found"
LARGEST_INPUT_BYTES = 16_384


def main() -> int:
    """Run the fuzzer; a fault ends it with a traceback and keeps the input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path("build/fuzz-state"), help="where found inputs are kept")
    parser.add_argument("--plain", action="store_true", help="without atheris, even where it is installed")
    options = parser.parse_args()
    for name in ("corpus", "faults"):
        (options.state / name).mkdir(parents=True, exist_ok=True)
    memory = Path("/dev/shm")  # noqa: S108  (a file system without fsync's cost)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        plain = options.plain or importlib.util.find_spec("atheris") is None
        return (_run_plain if plain else _run_atheris)(options, Path(folder))


def _run_plain(options: argparse.Namespace, folder: Path) -> int:
    from archive_mutation import mutate
    from unpack_check import check_unpacking

    seeds = [path.read_bytes() for path in [*sorted(SEEDS.iterdir()), *sorted(FOUND.iterdir())]]
    random, begun, outcomes = Random(options.seed), time.monotonic(), collections.Counter[bool]()
    for number in range(options.runs):
        data = mutate(random.choice(seeds), random)
        try:
            outcomes[check_unpacking(data, folder)] += 1
        except BaseException:
            (options.state / "faults" / f"plain-{options.seed}-{number}.zip").write_bytes(data)
            raise
    seconds = time.monotonic() - begun
    print(f"{options.runs} mutations in {seconds:.0f} s: {outcomes[True]} taken, {outcomes[False]} refused, no fault")
    return 0


def _run_atheris(options: argparse.Namespace, folder: Path) -> int:
    import atheris

    with atheris.instrument_imports(include=["model_artifact"]):
        from archive_mutation import mutate
        from unpack_check import check_unpacking

    def mutate_seeded(data: bytes, largest_bytes: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.2:
            return bytes(atheris.Mutate(data, largest_bytes))
        return mutate(data, random)[:largest_bytes]

    arguments = [
        sys.argv[0],
        str(options.state / "corpus"),
        str(SEEDS),
        str(FOUND),
        f"-runs={options.runs}",
        f"-seed={options.seed}",
        f"-max_len={LARGEST_INPUT_BYTES}",
        f"-artifact_prefix={options.state / 'faults'}/",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]
    atheris.Setup(arguments, lambda data: int(check_unpacking(data, folder)) and None, custom_mutator=mutate_seeded)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
