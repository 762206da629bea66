"""OpenVINO on the committed models; it is an extra, so these run where it is installed."""

import importlib.util

import numpy as np
import pytest

from model_server.engines import load_engine, parse_engine_kind
from model_server.errors import InvalidArgumentError, LoadError, StartupError, UnavailableError

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None


def load(kind, models, name, examples=None):
    return load_engine(kind, models / name / "model.tflite", workers=1, threads=1, examples=examples)


def test_unknown_engine_is_refused_with_those_that_there_are():
    assert parse_engine_kind("openvino") == "openvino"
    with pytest.raises(StartupError, match=r"^--engine=tpu is not known: give litert or openvino\.$"):
        parse_engine_kind("tpu")


if not HAS_OPENVINO:

    def test_without_openvino_the_remedy_is_told(models):
        with pytest.raises(StartupError, match=r"install modelpress-server\[openvino\]"):
            load("openvino", models, "half_plus_two")


if HAS_OPENVINO:

    def test_both_engines_give_the_same_answers_at_every_batch(models):
        images = np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)
        both = [load(kind, models, "tiny_image") for kind in ("litert", "openvino")]
        for batch in (images, images[:1], images[:0], images[1:3]):
            first, second = (engine.run("serving_default", {"image": batch})["scores"] for engine in both)
            np.testing.assert_allclose(second, first, atol=1e-5)

    @pytest.mark.parametrize("shape", [(8, 8, 3), (192,), (), (1, 8, 8, 4), (1, 1, 8, 8, 3), (2, 2, 8, 8, 3)])
    def test_a_shape_that_the_graph_does_not_take_is_refused_and_no_old_answer_repeated(models, shape):
        engine = load("openvino", models, "tiny_image")
        engine.run("serving_default", {"image": np.ones((1, 8, 8, 3), np.float32)})
        with pytest.raises(InvalidArgumentError, match="The graph cannot take the shapes image"):
            engine.run("serving_default", {"image": np.ones(shape, np.float32)})

    @pytest.mark.parametrize("kind", ["litert", "openvino"])
    @pytest.mark.parametrize("shape", [(), (2,), (3, 4, 5)])
    def test_a_rank_that_litert_takes_is_answered_and_timed(models, kind, shape):
        times = []
        engine = load(kind, models, "half_plus_two")
        inputs = {"x": np.ones(shape, np.float32)}
        y = engine.run("serving_default", inputs, None, lambda *seconds: times.append(seconds))["y"]
        np.testing.assert_array_equal(y, np.full(shape, 2.5, np.float32))
        [(waited_seconds, ran_seconds)] = times
        assert (waited_seconds, ran_seconds > 0) == (0, True)

    def test_read_only_and_strided_inputs_are_read_as_they_are(models):
        engine = load("openvino", models, "half_plus_two")
        x = np.frombuffer(np.array([[1], [2]], np.float32).tobytes(), np.float32).reshape(2, 1)
        assert engine.run("serving_default", {"x": x})["y"].tolist() == [[2.5], [3.0]]
        assert engine.run("serving_default", {"x": x[::-1]})["y"].tolist() == [[3.0], [2.5]]

    def test_several_inputs_and_outputs(models):
        inputs = {"a": np.ones((1, 2), np.float32), "b": np.ones((1, 2), np.float32), "n": np.array([4], np.int32)}
        outputs = load("openvino", models, "two_by_two").run("serving_default", inputs)
        assert {name: array.tolist() for name, array in outputs.items()} == {"scaled": [8], "total": [[2.0, 2.0]]}

    def test_strings_are_refused_at_load(models):
        with pytest.raises(LoadError, match="cannot be run by OpenVINO"):
            load("openvino", models, "echo_bytes")

    def test_closed_engine_is_unavailable_over_openvino(models):
        engine = load("openvino", models, "half_plus_two")
        engine.close()
        with pytest.raises(UnavailableError):
            engine.run("serving_default", {"x": np.ones((1, 1), np.float32)})
