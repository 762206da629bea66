"""Which runtime answers and from which form of the artifact, and what an image cannot do. Pure.

The artifact's folder has the same weights twice: a SavedModel with float32 weights, and model.tflite with the codes.
Which server an image holds is told by its repository's name alone.
"""

import re
from typing import Final, Literal

from model_artifact.recipe import LARGEST_INTEGER_BITS
from model_operator.api.rules import TENSORFLOW_IMAGE_PATTERN
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.planning.artifact import Artifact
from model_operator.planning.reasons import Reason
from model_operator.planning.verdict import Verdict
from model_operator.settings import Settings

_OUR_IMAGE: Final = r"(.*/)?modelpress-server([:@].*)?"

Server = Literal["TensorFlow Serving", "modelpress-server", "another"]


def choose_image(model: CompressedModel, settings: Settings) -> str:
    """The image that serves: the spec's own, or else the operator's setting."""
    return model.spec.serving.image or settings.server_image


def name_server(image: str) -> Server:
    """The server that an image holds, by the name of its repository."""
    if re.search(TENSORFLOW_IMAGE_PATTERN, image):
        return "TensorFlow Serving"
    return "modelpress-server" if re.fullmatch(_OUR_IMAGE, image) else "another"


def render_engine_arguments(model: CompressedModel) -> tuple[str, ...]:
    """The server's flags for what the spec asks for."""
    engine, precision = model.spec.serving.engine, model.spec.serving.precision
    return (
        *((f"--engine={engine.lower()}",) if engine is not None else ()),
        *(("--prefer_tflite_model=true",) if precision == "Int8" else ()),
    )


def find_unsuitable(model: CompressedModel, settings: Settings, artifact: Artifact | None) -> Verdict | None:
    """Why the image, or the artifact, cannot serve as `spec.serving` asks; None where nothing speaks against it."""
    image, bits = choose_image(model, settings), _find_bits(model, artifact)
    server, serving = name_server(image), model.spec.serving
    if serving.engine is not None and server == "TensorFlow Serving":
        return _refuse(
            f"spec.serving.engine {serving.engine} asks for modelpress-server, but the image is {image}, which has an"
            " engine of its own; name modelpress-server in spec.serving.image, or leave engine out."
        )
    if serving.precision == "Int8" and bits is not None and bits > LARGEST_INTEGER_BITS:
        return _refuse(
            f"spec.serving.precision Int8 asks for weights of at most {LARGEST_INTEGER_BITS} bits, but those of the"
            f" artifact have {bits}; set precision to Auto, or compress to fewer bits."
        )
    holds_codes = bits is not None and bits <= LARGEST_INTEGER_BITS
    if serving.precision == "Float32" and server == "modelpress-server" and holds_codes:
        return _refuse(
            f"spec.serving.precision Float32 asks for TensorFlow Serving, but the image is {image}, which answers from"
            " the int8 weights of model.tflite; name tensorflow/serving in spec.serving.image, or set it to Auto."
        )
    return None


def _refuse(message: str) -> Verdict:
    return Verdict("False", Reason.UNSUITABLE_IMAGE, message)


def _find_bits(model: CompressedModel, artifact: Artifact | None) -> int | None:
    """Bits of a weight's code; None where neither the spec nor the artifact says."""
    if model.spec.compression is not None:
        return model.spec.compression.bits
    return artifact.summary.bits if artifact is not None and artifact.summary is not None else None
