"""The Flask baseline answers the same body as our server, with a label. Flask is in the dependency group `flask`."""

import numpy as np
import pytest

from load.asking import render_predict_body
from load.flask_baseline.app import make_app, read_labels


def brightest(images):
    """The class is the number of the image's brightest row."""
    rows = images.sum(axis=(2, 3))
    return (rows == rows.max(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def flask_client():
    return make_app("m", brightest, ["top", "middle", "bottom"]).test_client()


def test_an_image_comes_back_as_its_label(flask_client):
    image = np.zeros((3, 3, 1), np.uint8)
    image[1] = 200
    answer = flask_client.post("/v1/models/m:predict", data=render_predict_body(image))
    assert answer.status_code == 200
    assert answer.get_json() == {"label": "middle", "labels": ["middle"], "predictions": [[0.0, 1.0, 0.0]]}
    assert flask_client.get("/v1/models/m").status_code == 200


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'{"instances": ["x"]}', b'{"instances": [[1], [1, 2]]}', b"{"])
def test_what_is_no_image_is_the_clients_error(flask_client, body):
    assert flask_client.post("/v1/models/m:predict", data=body).status_code == 400


def test_labels_are_the_artifacts(tmp_path):
    assert read_labels(tmp_path) == []
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "labels.txt").write_text("cat\ndog\n")
    assert read_labels(tmp_path) == ["cat", "dog"]
