# ruff: noqa: INP001, S311  (a script beside the package, not of it)
"""Gives altered requests to both parsers and the engine behind them until a promise of `parser_check` breaks.

    build/fuzz-server/bin/python model_server/fuzz/fuzz_parsers.py --runs 1000000

With atheris, new inputs are kept when they reach new code; without it, seeds are altered at random.
"""

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
SEEDS = HERE / "corpus" / "seeds"
FOUND = HERE / "corpus" / "found"
LARGEST_INPUT_BYTES = 4096
TOKENS = (
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u0000", b"0", b"-0", b"1", b"-1", b"1.5", b"1e9", b"1e400"),
    *(b"NaN", b"Infinity", b"-Infinity", b"Inf", b"true", b"false", b"null", b'"instances"', b'"inputs"', b'"b64"'),
    *(b'"signature_name"', b"16777217", b"2147483648", b"9223372036854775808", b" ", b"\n", b"\0", b"\xff"),
    *(b"\x00" * 8, b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x08", b"\x08\x01", b"\x12\x00", b"\x0a\x05"),
)


def main() -> int:
    """Run the fuzzer; a fault ends it with a traceback and keeps the input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path("build/fuzz-server-state"), help="where inputs are kept")
    parser.add_argument("--plain", action="store_true", help="without atheris, even where it is installed")
    options = parser.parse_args()
    for name in ("corpus", "faults"):
        (options.state / name).mkdir(parents=True, exist_ok=True)
    plain = options.plain or importlib.util.find_spec("atheris") is None
    return (_run_plain if plain else _run_atheris)(options)


def mutate(data: bytes, random: Random) -> bytes:
    """The input with one to four things changed; its first byte now and then."""
    changed = bytearray(data or b"\1")
    for _ in range(random.randint(1, 4)):
        start, length = random.randint(1, len(changed)), random.choice([1, 1, 2, 4, 16])
        action = random.randrange(7)
        if action == 0:
            changed[start:start] = random.choice(TOKENS)
        elif action == 1:
            changed[start : start + length] = random.choice(TOKENS)
        elif action == 2:
            del changed[start : start + length]
        elif action == 3 and start < len(changed):
            changed[start] ^= 1 << random.randrange(8)
        elif action == 4:
            target = random.randint(1, len(changed))
            changed[target:target] = changed[start : start + random.choice([4, 16, 64])]
        elif action == 5 and random.random() < 0.2:
            changed[0] = random.randrange(8)
        elif action == 6 and random.random() < 0.2:
            del changed[start:]
    return bytes(changed[:LARGEST_INPUT_BYTES])


def _run_plain(options: argparse.Namespace) -> int:
    from parser_check import ParserCheck

    check = ParserCheck()
    seeds = [path.read_bytes() for path in [*sorted(SEEDS.iterdir()), *sorted(FOUND.iterdir())]]
    random, begun, answered = Random(options.seed), time.monotonic(), 0
    for number in range(options.runs):
        data = mutate(random.choice(seeds), random)
        try:
            answered += check.check(data)
        except BaseException:
            (options.state / "faults" / f"plain-{options.seed}-{number}").write_bytes(data)
            raise
    print(f"{options.runs} inputs in {time.monotonic() - begun:.0f} s: {answered} answered, no fault")
    return 0


def _run_atheris(options: argparse.Namespace) -> int:
    import atheris

    with atheris.instrument_imports(include=["model_server"]):
        from parser_check import ParserCheck

    check = ParserCheck()

    def mutate_seeded(data: bytes, largest_bytes: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.3:
            return bytes(atheris.Mutate(data, largest_bytes))
        return mutate(data, random)[:largest_bytes]

    arguments = [
        sys.argv[0],
        *(str(options.state / "corpus"), str(SEEDS), str(FOUND)),
        *(f"-runs={options.runs}", f"-seed={options.seed}", f"-max_len={LARGEST_INPUT_BYTES}"),
        f"-artifact_prefix={options.state / 'faults'}/",
        *("-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"),
    ]
    atheris.Setup(arguments, lambda data: int(check.check(data)) and None, custom_mutator=mutate_seeded)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
