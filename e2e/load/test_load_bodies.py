"""Requests: real images where there are some, the same for REST and for gRPC, and named for what they are."""

import json

import numpy as np
import pytest

from load.bodies import COUNT, Pictures, download, load_pictures, main, read_images, read_lines, write_bodies
from load.generating import GeneratorError, Target
from load.grpc_open_model import read_requests
from model_server._protos.tensorflow_serving.apis import predict_pb2


def test_images_of_cifar10_are_the_first_of_its_test_file(tmp_path):
    source = np.random.default_rng(1)
    rows = source.integers(0, 256, (100, 3073), np.uint8)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "test_batch.bin").write_bytes(rows.tobytes())
    pictures = load_pictures((32, 32, 3), {"MODELPRESS_DATA": str(tmp_path)})
    assert pictures.images.shape == (COUNT, 32, 32, 3)
    assert pictures.labels.tolist() == rows[:COUNT, 0].tolist()
    assert pictures.images[5, 2, 7].tolist() == [rows[5, 1 + colour * 1024 + 2 * 32 + 7] for colour in range(3)]
    assert pictures.source == "CIFAR-10, another copy (not the published pixels), test images 0 to 63"


def test_digits_stand_in_for_images_of_their_size():
    pictures = load_pictures((8, 8, 1), {})
    assert pictures.images.shape == (COUNT, 8, 8, 1)
    assert set(pictures.labels.tolist()) == set(range(10))
    assert pictures.source == "digits of scikit-learn, test images 0 to 63"


def test_noise_is_called_noise_and_is_always_the_same(tmp_path):
    data = {"MODELPRESS_DATA": str(tmp_path)}
    first, again = (load_pictures((32, 32, 3), data, allow_noise=True) for _ in range(2))
    assert first.source == "noise (seed 0), no images"
    assert np.array_equal(first.images, again.images)
    assert first.labels.tolist() == [-1] * COUNT


def test_cifar10_that_is_not_there_is_fetched_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fetched = []

    def fetch(parent):
        fetched.append(parent)
        (parent / "cifar-10-batches-bin").mkdir(parents=True)
        (parent / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(bytes(3073 * 64))

    sources = [load_pictures((32, 32, 3), {}, fetch=fetch).source for _ in range(2)]
    assert sources == ["CIFAR-10, another copy (not the published pixels), test images 0 to 63"] * 2
    assert fetched == [tmp_path / "modelpress"]


def test_noise_is_sent_for_cifar10_only_where_that_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fetch(_):
        raise GeneratorError("no way out")

    with pytest.raises(GeneratorError, match=r"no CIFAR-10 to send \(no way out\): name .*, or say --allow-noise"):
        load_pictures((32, 32, 3), {}, fetch=fetch)
    assert load_pictures((32, 32, 3), {}, fetch=fetch, allow_noise=True).source == "noise (seed 0), no images"
    with pytest.raises(GeneratorError, match=f"{tmp_path} holds no test_batch.bin"):
        load_pictures((32, 32, 3), {"MODELPRESS_DATA": str(tmp_path)}, fetch=fetch)


def test_the_download_of_the_builder_is_translated(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(GeneratorError, match="cannot be downloaded"):
        download(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_body_is_a_file_a_line_and_a_request_of_the_same_image(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (COUNT, 4, 5, 3), np.uint8)
    write_bodies(tmp_path, Pictures(images, np.arange(COUNT), "of a test"))
    lines = read_lines(tmp_path)
    requests = read_requests(Target("vgg", "host", 1, 2, tmp_path))
    assert len(lines) == len(requests) == COUNT
    assert np.array_equal(read_images(tmp_path), images)
    assert (tmp_path / "source.txt").read_text() == "of a test\n"
    for number in (0, 63):
        assert json.loads(lines[number]) == {"instances": [images[number].tolist()]}
        assert (tmp_path / f"{number:03}.json").read_bytes() == lines[number]
        parsed = predict_pb2.PredictRequest.FromString(requests[number])
        tensor = parsed.inputs["image"]
        assert parsed.model_spec.name == "vgg"
        assert [each.size for each in tensor.tensor_shape.dim] == [1, 4, 5, 3]
        assert np.array_equal(np.frombuffer(tensor.tensor_content, np.float32).reshape(4, 5, 3), images[number])


def test_requests_of_any_shape_are_written_by_a_command(tmp_path, capsys):
    assert main([str(tmp_path / "here"), "--shape", "6", "7", "1"]) == 0
    assert capsys.readouterr().out == "noise (seed 0), no images\n"
    assert read_images(tmp_path / "here").shape == (COUNT, 6, 7, 1)
