"""The data plane that both wires share: a request as arrays in, the outputs as arrays out."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_server.engine import DEFAULT_SIGNATURE
from model_server.errors import InvalidArgumentError, NotFoundError
from model_server.memory import release_free_memory
from model_server.metrics import Metrics
from model_server.model_config import ModelConfig
from model_server.repository import Repository
from model_server.servable import Servable
from model_server.served_model import Lease, VersionStatus
from model_server.signatures import Signature
from model_server.wire_grpc import parse_tensor

Array = NDArray[np.generic]

# Of a request: after it, its memory is given back.
LARGE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ModelSpec:
    """Which model a request means; no version is the highest one, an empty signature serving_default."""

    name: str
    version: int | None = None
    label: str = ""
    signature_name: str = ""

    @property
    def signature(self) -> str:
        """The signature's name with the default filled in."""
        return self.signature_name or DEFAULT_SIGNATURE


class DataPlane:
    """Finds the servable of a request and runs it. Its metrics and readiness are the same for both wires."""

    def __init__(self, repository: Repository, metrics: Metrics) -> None:
        self._repository = repository
        self._draining = False
        # One entry for each run under way: appending and popping need no lock, and counting would.
        self._runs: deque[None] = deque()
        self.metrics = metrics

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self._repository.ready and not self._draining

    @property
    def busy(self) -> bool:
        """Whether a graph is running, or a request waits to have it run."""
        return bool(self._runs)

    def tidy(self) -> None:
        """After a large request: what it leaves in memory is given back to the system."""
        self.metrics.settle()
        release_free_memory()

    def drain(self) -> None:
        """From now on nobody should send anything; what comes is still answered."""
        self._draining = True

    def give_up(self) -> None:
        """The time to drain is over: requests that wait for an engine are refused, and what runs goes on."""
        self._repository.give_up()

    def acquire(self, spec: ModelSpec) -> Lease:
        """The servable of the spec for the time of one request.

        Raises:
            InvalidArgumentError: The spec has no name, or a label that nobody gave.
            NotFoundError: No such model or version.
        """
        if not spec.name:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        if spec.label and spec.name not in self._repository:
            raise InvalidArgumentError(f"Unrecognized servable version label: {spec.label}")
        return self._repository.find(spec.name, spec.version).acquire(spec.version, spec.label)

    def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: dict[str, Array],
        output_filter: Sequence[str] = (),
        timeout_seconds: float | None = None,
        *,
        api: str = "Predict",
    ) -> dict[str, Array]:
        """The outputs that the filter names, or all of them; `api` is what the metrics call this.

        Raises:
            ServingError: Inputs, filter, dtypes or shapes are wrong, or the time is over.
        """
        if inputs.keys() != signature.inputs.keys():
            check_inputs(signature, inputs)
            inputs = fill_defaults(signature, inputs)
        wanted = check_filter(signature, output_filter)
        observe = partial(self.metrics.observe_times, servable.name, servable.version, api)
        self._runs.append(None)
        try:
            outputs = servable.run(signature, inputs, timeout_seconds, observe)
        finally:
            self._runs.pop()
        return {alias: outputs[alias] for alias in wanted}

    def runner(
        self, servable: Servable, api: str, timeout_seconds: float | None, *, counts_examples: bool = True
    ) -> Callable[[Signature, dict[str, Array], Sequence[str]], dict[str, Array]]:
        """`run` with everything but the signature, its inputs and the filter."""
        examples_counted = api == "Predict" or not counts_examples

        def run(signature: Signature, inputs: dict[str, Array], output_filter: Sequence[str]) -> dict[str, Array]:
            nonlocal examples_counted
            if not examples_counted:
                examples_counted = True
                self.metrics.count_examples(servable.name, len(next(iter(inputs.values()))))
            return self.run(servable, signature, inputs, output_filter, timeout_seconds, api=api)

        return run

    def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serve these models and no others.

        Raises:
            ServingError: As the repository does.
        """
        self._repository.reload(configs)

    def statuses(self, spec: ModelSpec) -> list[VersionStatus]:
        """The states of one version or of all that were ever seen.

        Raises:
            NotFoundError: No such model or version, or no name at all.
        """
        try:
            known = self._repository.find(spec.name).statuses()
        except NotFoundError:
            known = []
        if spec.version is None:
            if not known:
                raise NotFoundError(f"Could not find any versions of model {spec.name}")
            return known
        statuses = [status for status in known if status.version == spec.version]
        if not statuses:
            raise NotFoundError(f"Could not find version {spec.version} of model {spec.name}")
        return statuses


def fill_defaults(signature: Signature, inputs: dict[str, Array]) -> dict[str, Array]:
    """The inputs with the signature's default values for those that were not sent."""
    if len(inputs) == len(signature.inputs):
        return inputs
    missing = signature.definition.defaults.keys() & (signature.inputs.keys() - inputs.keys())
    return inputs | {alias: parse_tensor(alias, signature.definition.defaults[alias]) for alias in missing}


def check_inputs(signature: Signature, inputs: dict[str, Array]) -> None:
    """Refuse a request that does not send exactly the signature's inputs, or leaves out one that has no default.

    Raises:
        InvalidArgumentError: What is missing or what is too much.
    """
    if inputs.keys() == signature.inputs.keys():
        return
    defaults = signature.definition.defaults
    sent, required = sorted(inputs), sorted(signature.inputs)
    extra, missing = sorted(set(sent) - set(required)), sorted(set(required) - set(sent))
    if len(sent) > len(required) or (len(sent) < len(required) and not defaults):
        raise InvalidArgumentError(
            f"input size does not match signature: {len(sent)}!={len(required)} len({{{','.join(sent)}}})"
            f" != len({{{','.join(required)}}}). Sent extra: {{{','.join(extra)}}}."
            f" Missing but required: {{{','.join(missing)}}}."
        )
    without = [alias for alias in missing if alias not in defaults]
    if without:
        feed_name = signature.definition.inputs[without[0]].name
        raise InvalidArgumentError(
            f"Signature input alias: {without[0]}(feed name: {feed_name}) not found in request and no default value"
            f" provided. Inputs expected to be in the request {{{','.join(sent)}}}, or default input alias set:"
            f" {','.join(sorted(defaults))}"
        )
    if extra:
        used = sorted(set(sent) & set(required))
        raise InvalidArgumentError(
            f"Inputs contains invalid name. Used request inputs: {','.join(used)}, request input: {','.join(sent)}"
        )


def check_filter(signature: Signature, output_filter: Sequence[str]) -> list[str]:
    """The outputs to answer with: those of the filter, each once, or all of the signature.

    Raises:
        InvalidArgumentError: An output is unknown or named twice.
    """
    wanted: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise InvalidArgumentError(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set"
                f" {{{','.join(sorted(signature.outputs))}}}."
            )
        if alias in wanted:
            raise InvalidArgumentError(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted or signature.all_outputs
