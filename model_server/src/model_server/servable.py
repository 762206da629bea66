"""One loaded version: its engine with its signatures, checked before anyone is served by it."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_server import versions
from model_server.engine import Engine
from model_server.errors import InvalidArgumentError, LoadError
from model_server.golden import Golden, read_golden, verify_golden
from model_server.signatures import Signature, plan_signatures, read_definitions

Array = NDArray[np.generic]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineSettings:
    """How many interpreters a version gets, and how many threads each of them uses."""

    interpreters: int
    threads: int
    tags: frozenset[str] = frozenset({"serve"})


@dataclass(frozen=True)
class Servable:
    """A version that can answer."""

    name: str
    version: int
    signatures: dict[str, Signature]
    engine: Engine

    def run(
        self, signature: Signature, inputs: dict[str, Array], timeout_seconds: float | None = None
    ) -> dict[str, Array]:
        """The signature's outputs under the clients' names.

        Raises:
            ServingError: As the engine does.
        """
        for alias, array in inputs.items():
            expected = signature.input_dtype(alias)
            if array.dtype != expected.numpy:
                raise InvalidArgumentError(
                    f'input "{alias}" has dtype {array.dtype}, but the signature takes {expected.numpy}'
                    f" ({expected.name})."
                )
        named = {signature.inputs[alias]: array for alias, array in inputs.items()}
        outputs = self.engine.run(signature.graph_key, named, timeout_seconds)
        return {alias: outputs[name] for alias, name in signature.outputs.items()}


def load_servable(name: str, version: int, folder: Path, settings: EngineSettings) -> Servable:
    """Map the model, bind its signatures and verify its golden answers.

    Raises:
        LoadError: The folder cannot be served; nothing is left open.
    """
    golden = read_golden(folder)
    definitions = read_definitions(folder / versions.SIGNATURES_FILE, settings.tags)
    engine = Engine(folder / versions.MODEL_FILE, interpreters=settings.interpreters, threads=settings.threads)
    try:
        signatures = plan_signatures(definitions, engine.signatures)
        servable = Servable(name, version, signatures, engine)
        if golden is not None:
            _verify(servable, golden)
    except LoadError:
        engine.close()
        raise
    for missing in sorted(definitions.keys() - signatures.keys() - {"__saved_model_init_op"}):
        _LOGGER.warning("signature %s of %s version %d is not in model.tflite and not served", missing, name, version)
    return servable


def _verify(servable: Servable, golden: Golden) -> None:
    document = golden.document
    signature = servable.signatures.get(document.signature)
    if signature is None or set(signature.inputs) != {document.input} or document.output not in signature.outputs:
        raise LoadError(
            f"golden.json names the signature {document.signature} with the input {document.input} and the output"
            f" {document.output}, which the model does not have."
        )
    dtype = signature.input_dtype(document.input).numpy
    verify_golden(golden, lambda items: servable.run(signature, {document.input: items.astype(dtype)})[document.output])
