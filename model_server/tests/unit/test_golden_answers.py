import json

import numpy as np
import pytest

from model_server.errors import InvalidArgumentError, LoadError
from model_server.golden import read_golden, verify_golden
from model_server.servable import EngineSettings, load_servable

SETTINGS = EngineSettings(interpreters=1, threads=1)
GOLDEN = "assets.extra/golden"


def load(folder):
    return load_servable("m", 1, folder, SETTINGS)


def change(folder, **fields):
    file = folder / GOLDEN / "golden.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_version_that_reproduces_its_answers_loads(add_version):
    assert list(load(add_version("tiny_image", 1)).signatures) == ["serving_default"]


def test_version_without_golden_answers_loads(add_version):
    assert read_golden(add_version("half_plus_two", 1)) is None


def test_mismatch_names_the_largest_difference_and_where(add_version):
    folder = add_version("tiny_image", 1)
    outputs = np.load(folder / GOLDEN / "outputs.npy")
    outputs[3, 2] += 0.25
    outputs[5, 1] += 0.5
    np.save(folder / GOLDEN / "outputs.npy", outputs)
    with pytest.raises(LoadError, match=r"in a batch of 8: output 1 of item 5 differs by 0\.5, and 0\.001 is allowed"):
        load(folder)


def test_only_the_single_item_may_fail(add_version):
    golden = read_golden(add_version("tiny_image", 1))
    answers = {8: golden.outputs, 1: golden.outputs[:1] + 1}
    with pytest.raises(LoadError, match=r"in a batch of 1: output 0 of item 0 differs by 1"):
        verify_golden(golden, lambda items: answers[len(items)])


def test_not_a_number_is_no_match(add_version):
    golden = read_golden(add_version("tiny_image", 1))
    with pytest.raises(LoadError, match="differs by inf"):
        verify_golden(golden, lambda items: np.full((len(items), 5), np.nan, np.float32))


def test_refused_inputs_fail_the_load(add_version):
    golden = read_golden(add_version("tiny_image", 1))

    def refuse(_):
        raise InvalidArgumentError("No.")

    with pytest.raises(LoadError, match="The engine refuses 8 golden inputs: No"):
        verify_golden(golden, refuse)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"output": "logits"}, "the output logits, which the model does not have"),
        ({"signature": "other"}, "names the signature other"),
        ({"tolerance": -1}, "tolerance: -1 is no difference"),
        ({"formatVersion": 2}, "formatVersion: 2, and only 1 is known"),
        ({"extra": 1}, "extra: not a field of version 1"),
    ],
)
def test_wrong_documents_are_refused(add_version, fields, text):
    folder = add_version("tiny_image", 1)
    change(folder, **fields)
    with pytest.raises(LoadError) as error:
        load(folder)
    assert text in str(error.value)


def test_pickled_arrays_are_refused(add_version):
    folder = add_version("tiny_image", 1)
    np.save(folder / GOLDEN / "inputs.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(LoadError, match="cannot be read"):
        load(folder)


def test_cut_short_array_is_refused(add_version):
    folder = add_version("tiny_image", 1)
    file = folder / GOLDEN / "outputs.npy"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(LoadError, match="cannot be read"):
        load(folder)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((8,), "outputs of two dimensions are needed"),
        ((7, 5), "as many outputs as inputs"),
        ((8, 4), "are of different models"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(add_version, shape, text):
    folder = add_version("tiny_image", 1)
    np.save(folder / GOLDEN / "outputs.npy", np.zeros(shape, np.float32))
    with pytest.raises(LoadError, match=text):
        load(folder)
