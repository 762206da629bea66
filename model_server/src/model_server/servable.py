"""One loaded version: its engine with its signatures, checked before anyone is served by it."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_server import versions
from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2
from model_server.engine import Engine, Observe, ignore_times
from model_server.engines import EngineKind, load_engine
from model_server.errors import InvalidArgumentError, LoadError
from model_server.example_spec import read_example_specs
from model_server.examples import parse_features
from model_server.golden import Golden, read_golden, verify_golden
from model_server.json_rows import parse_rows
from model_server.signature_metadata import read_metadata_definitions
from model_server.signatures import Signature, plan_signatures, read_definitions

Array = NDArray[np.generic]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineSettings:
    """Which runtime, how many interpreters a version gets at most, and how many threads each of them uses."""

    interpreters: int
    threads: int
    tags: frozenset[str] = frozenset({"serve"})
    kind: EngineKind = "litert"


@dataclass(frozen=True)
class Servable:
    """A version that can answer."""

    name: str
    version: int
    signatures: dict[str, Signature]
    engine: Engine
    # What saved_model.pb promises beyond that: told by the metadata, answered by nothing.
    unserved: dict[str, meta_graph_pb2.SignatureDef] = field(default_factory=dict)

    def run(
        self,
        signature: Signature,
        inputs: dict[str, Array],
        timeout_seconds: float | None = None,
        observe: Observe = ignore_times,
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
        named = self._render_inputs(signature, inputs)
        outputs = self.engine.run(signature.graph_key, named, timeout_seconds, observe)
        return {alias: outputs[name] for alias, name in signature.outputs.items()}

    def parse_rows(self, signature: Signature, body: bytes) -> dict[str, Array] | None:
        """The inputs of a REST body that is read the short way; None where it must be read the long way."""
        if len(signature.inputs) != 1 or signature.features:
            return None
        ((alias, name),) = signature.inputs.items()
        tensor = self.engine.signatures[signature.graph_key].inputs[name]
        # Numbers in one list are what else comes: long ones too, which the graph refuses in the end.
        for row_shape in [tensor.shape[1:], ()] if tensor.shape else []:
            array = parse_rows(body, tensor.dtype, row_shape)
            if array is not None:
                return {alias: array}
        return None

    def _render_inputs(self, signature: Signature, inputs: dict[str, Array]) -> dict[str, Array]:
        """The arrays under the engine's names; serialised examples become the features that the graph takes."""
        if not signature.features:
            return {signature.inputs[alias]: array for alias, array in inputs.items()}
        (strings,) = inputs.values()
        tensors = self.engine.signatures[signature.graph_key].inputs
        features = parse_features(strings, signature.features)
        return {
            (name := signature.feature_tensors[feature]): array.astype(tensors[name].dtype, copy=False)
            for feature, array in features.items()
        }


def load_servable(name: str, version: int, folder: Path, settings: EngineSettings) -> Servable:
    """Map the model, bind its signatures and verify its golden answers.

    Raises:
        LoadError: The folder cannot be served; nothing is left open.
    """
    golden = read_golden(folder)
    if settings.kind == "litert" or golden is None:
        return _load(name, version, folder, settings, golden)
    try:
        return _load(name, version, folder, settings, golden, golden.inputs)
    except LoadError as error:
        _LOGGER.warning("%s version %d is served with float activations: with int8 ones %s", name, version, error)
        return _load(name, version, folder, settings, golden)


def _load(  # noqa: PLR0917
    name: str,
    version: int,
    folder: Path,
    settings: EngineSettings,
    golden: Golden | None,
    ranges_from: Array | None = None,
) -> Servable:
    definitions = read_definitions(folder / versions.SIGNATURES_FILE, settings.tags)
    examples = read_example_specs(folder)
    engine = load_engine(
        settings.kind,
        folder / versions.MODEL_FILE,
        workers=settings.interpreters,
        threads=settings.threads,
        examples=ranges_from,
    )
    try:
        definitions = definitions or read_metadata_definitions(folder / versions.MODEL_FILE)
        signatures = plan_signatures(definitions, engine.signatures, examples)
        unserved = {key: value for key, value in definitions.items() if key not in signatures}
        servable = Servable(name, version, signatures, engine, unserved)
        if golden is not None:
            _verify(servable, golden)
    except LoadError:
        engine.close()
        raise
    for missing in sorted(unserved.keys() - {"__saved_model_init_op"}):
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
