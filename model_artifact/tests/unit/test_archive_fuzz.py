import runpy
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_artifact.unpacking import unpack

FUZZ = Path(__file__).parents[2] / "fuzz"
SEEDS = {path.stem: path.read_bytes() for path in sorted((FUZZ / "corpus" / "seeds").iterdir())}


@pytest.fixture(scope="module")
def fuzzing():
    """The fuzzer's own modules, which stand beside the package: what mutates, and what must hold."""
    before = list(sys.path)
    try:
        names = ("archive_mutation", "unpack_check", "make_corpus")
        return {name: runpy.run_path(str(FUZZ / f"{name}.py")) for name in names}
    finally:
        sys.path[:] = before


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.slow
@settings(max_examples=2500, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.sampled_from(sorted(SEEDS)), random=st.randoms(use_true_random=False))
def test_no_mutation_harms_anybody(data, random, fuzzing, room):
    fuzzing["unpack_check"]["check_unpacking"](fuzzing["archive_mutation"]["mutate"](SEEDS[data], random), room)
    assert list(room.iterdir()) == []


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.binary(max_size=300))
def test_bytes_that_are_no_archive_are_refused(data, fuzzing, room):
    assert not fuzzing["unpack_check"]["check_unpacking"](data, room)


def test_every_seed_is_an_artifact_and_stays_one(fuzzing, room):
    taken = {name: fuzzing["unpack_check"]["check_unpacking"](data, room) for name, data in SEEDS.items()}
    assert taken == dict.fromkeys(fuzzing["make_corpus"]["render_seeds"](), True)


def test_what_the_fuzzer_found_before_is_still_harmless(fuzzing, room):
    found = sorted((FUZZ / "corpus" / "found").iterdir())
    assert len(found) > 50
    for path in found:
        fuzzing["unpack_check"]["check_unpacking"](path.read_bytes(), room)


def test_the_seeds_use_every_coder_and_an_order(room):
    found = set()
    for name, data in SEEDS.items():
        (room / f"{name}.zip").write_bytes(data)
        tensor = unpack(room / f"{name}.zip", room / name).storage.tensors[0]
        found |= {tensor.coder, tensor.dtype, "sorted" if tensor.sorted_axis is not None else "in order"}
    coders = {"dense", "packed", "split", "split-packed", "joint"}
    assert found == coders | {"int8", "int16", "float32", "sorted", "in order"}


def test_the_check_itself_sees_what_it_looks_for(fuzzing, tmp_path, monkeypatch):
    check = fuzzing["unpack_check"]["check_unpacking"]

    def forge(artifact, target):
        manifest = unpack(artifact, target)
        (target / "more").write_text("more")
        return manifest

    monkeypatch.setitem(check.__globals__, "unpack", forge)
    with pytest.raises(AssertionError, match="are declared"):
        check(SEEDS["dense"], tmp_path)
