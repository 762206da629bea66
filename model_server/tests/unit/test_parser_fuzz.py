import runpy
import sys
from pathlib import Path
from random import Random

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
SEEDS = sorted((FUZZ / "corpus" / "seeds").iterdir())


@pytest.fixture(scope="module")
def fuzzing():
    """The fuzzer's own modules, which stand beside the package: what alters, and what must hold."""
    before = list(sys.path)
    try:
        sys.path.insert(0, str(FUZZ))
        names = ("parser_check", "fuzz_parsers", "make_corpus")
        return {name: runpy.run_path(str(FUZZ / f"{name}.py")) for name in names}
    finally:
        sys.path[:] = before


@pytest.fixture(scope="module")
def check(fuzzing):
    return fuzzing["parser_check"]["ParserCheck"]().check


def test_every_seed_is_answered(check):
    assert {path.name: check(path.read_bytes()) for path in SEEDS} == {path.name: True for path in SEEDS}


def test_the_seeds_are_those_that_the_script_writes(fuzzing):
    expected = {f"rest-{name}-{form}" for name in fuzzing["parser_check"]["MODELS"] for form in _forms(fuzzing, name)}
    assert {path.name for path in SEEDS if path.name.startswith("rest-")} == expected


def _forms(fuzzing, name):
    return fuzzing["make_corpus"]["render_bodies"](name)


@pytest.mark.slow
def test_no_altered_request_breaks_a_promise(fuzzing, check):
    random = Random(20261121)  # noqa: S311
    seeds = [path.read_bytes() for path in SEEDS]
    answered = [check(fuzzing["fuzz_parsers"]["mutate"](random.choice(seeds), random)) for _ in range(4000)]
    # Most are refused, but enough still pass to test what lies behind the parsers.
    assert 200 < sum(answered) < 3800


def test_what_the_fuzzer_found_before_is_still_harmless(check):
    found = sorted((FUZZ / "corpus" / "found").iterdir())
    assert len(found) > 50
    for path in found:
        check(path.read_bytes())
