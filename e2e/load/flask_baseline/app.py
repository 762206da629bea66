"""A model behind Flask, as one writes it by hand: an image is posted, its label comes back.

`python app.py --name NAME --folder VERSION_FOLDER` loads the SavedModel of an unpacked artifact and answers
`POST /v1/models/NAME:predict` with `{"instances": [IMAGE]}`, the body that TensorFlow Serving takes, so that the same
load asks both. This file runs in an image of its own with Flask, TensorFlow and nothing of ours.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, Response, request
from numpy.typing import NDArray

PORT = 8501
GUNICORN_THREADS = 4
SETTINGS_VARIABLE = "FLASK_BASELINE"

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def load_network(folder: Path, threads: int) -> Predict:
    """The network's answer to images (n, height, width, channels): probabilities (n, classes). It has answered once.

    Args:
        folder: of the SavedModel.
        threads: what TensorFlow may compute with. Its own choice is the machine's cores, of which a limited container
            has fewer, and would be throttled.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        # `loaded` must outlive the signature, whose variables it holds.
        answer: NDArray[np.float32] = next(
            iter(loaded.signatures["serving_default"](**{name: tf.constant(images)}).values())
        )
        return np.asarray(answer, np.float32)

    predict(np.zeros((1, *spec.shape[1:]), np.float32))
    return predict


def read_labels(folder: Path) -> list[str]:
    """The names of the classes, where the artifact has them; otherwise none."""
    path = folder / "assets.extra" / "labels.txt"
    return path.read_text().split() if path.exists() else []


def make_app(name: str, predict: Predict, labels: Sequence[str]) -> Flask:
    """The service: an image in, a label out; what is no image is the client's error, said in the answer."""
    app = Flask("flask_baseline")

    def answer(status: int, document: dict[str, Any]) -> Response:
        return Response(json.dumps(document), status, content_type="application/json")

    @app.get(f"/v1/models/{name}")
    def is_ready() -> Response:
        return answer(200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})

    @app.post(f"/v1/models/{name}:predict")
    def classify() -> Response:
        try:
            images = np.array(request.get_json(force=True)["instances"], np.float32)
            probabilities = predict(images)
        except (KeyError, TypeError, ValueError) as error:
            return answer(400, {"error": f"instances must be images: {error}"})
        best = probabilities.argmax(axis=1)
        found = [labels[index] if labels else int(index) for index in best]
        return answer(200, {"label": found[0], "labels": found, "predictions": probabilities.tolist()})

    return app


def from_environment() -> Flask:
    """The service that FLASK_BASELINE describes, for a worker of gunicorn."""
    settings = json.loads(os.environ[SETTINGS_VARIABLE])
    folder = Path(settings["folder"])
    return make_app(settings["name"], load_network(folder, settings["threads"]), read_labels(folder))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="flask-baseline", description="A SavedModel behind Flask.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="of the SavedModel")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--bind", default="0.0.0.0", help="address to listen on")  # noqa: S104 - a pod's own
    parser.add_argument("--threads", type=int, default=1, help="of TensorFlow")
    parser.add_argument("--server", choices=("flask", "gunicorn"), default="flask", help="Flask's own, with threads")
    options = parser.parse_args(arguments)
    if options.server == "gunicorn":
        settings = {"name": options.name, "folder": str(options.folder.resolve()), "threads": options.threads}
        run_gunicorn(options.bind, options.port, settings)
    # The first process of a container ignores SIGTERM unless it says what to do.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = make_app(options.name, load_network(options.folder, options.threads), read_labels(options.folder))
    app.run(options.bind, options.port, threaded=True)
    return 0


def run_gunicorn(bind: str, port: int, settings: dict[str, Any]) -> None:
    """Become gunicorn with one worker, so that the weights are in memory once."""
    command = ["gunicorn", f"--bind={bind}:{port}", "--workers=1", f"--threads={GUNICORN_THREADS}"]
    command += [f"--chdir={Path(__file__).parent}", "--worker-tmp-dir=/tmp", "app:from_environment()"]
    os.execvpe(command[0], command, {**os.environ, SETTINGS_VARIABLE: json.dumps(settings)})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
