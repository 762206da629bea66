"""The data plane that both wires share: a request as arrays in, the outputs as arrays out."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_server.engine import DEFAULT_SIGNATURE
from model_server.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from model_server.metrics import Metrics
from model_server.repository import Repository, VersionStatus
from model_server.servable import Servable
from model_server.signatures import Signature

Array = NDArray[np.generic]


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
        self.metrics = metrics

    @property
    def ready(self) -> bool:
        """Whether new requests should come here."""
        return self._repository.ready and not self._draining

    def drain(self) -> None:
        """From now on nobody should send anything; what comes is still answered."""
        self._draining = True

    @contextmanager
    def acquire(self, spec: ModelSpec) -> Iterator[Servable]:
        """The servable of the spec for the time of one request.

        Raises:
            InvalidArgumentError: The spec has no name, or a label.
            NotFoundError: No such model or version.
        """
        if not spec.name:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        if spec.label:
            raise InvalidArgumentError(f"Unrecognized servable version label: {spec.label}")
        with self._repository.find(spec.name, spec.version).acquire(spec.version) as servable:
            yield servable

    def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: dict[str, Array],
        output_filter: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> dict[str, Array]:
        """The outputs that the filter names, or all of them.

        Raises:
            ServingError: Inputs, filter, dtypes or shapes are wrong, or the time is over.
        """
        check_inputs(signature, inputs)
        wanted = check_filter(signature, output_filter)
        started = time.perf_counter()
        outputs = servable.run(signature, inputs, timeout_seconds)
        self.metrics.observe_run(servable.name, time.perf_counter() - started)
        return {alias: outputs[alias] for alias in wanted}

    def statuses(self, spec: ModelSpec) -> list[VersionStatus]:
        """The states of one version or of all that were ever seen.

        Raises:
            InvalidArgumentError: The spec has no name.
            NotFoundError: No such model or version.
        """
        if not spec.name:
            raise InvalidArgumentError("ModelSpec has no name specified.")
        known = self._repository.find(spec.name).statuses() if spec.name in self._repository.names else []
        if spec.version is None:
            if not known:
                raise NotFoundError(f"Could not find any versions of model {spec.name}")
            return known
        statuses = [status for status in known if status.version == spec.version]
        if not statuses:
            raise NotFoundError(f"Could not find version {spec.version} of model {spec.name}")
        return statuses


def find_signature(servable: Servable, name: str) -> Signature:
    """The signature of this name.

    Raises:
        FailedPreconditionError: The version has no such signature.
    """
    signature = servable.signatures.get(name)
    if signature is None:
        raise FailedPreconditionError(f'Serving signature key "{name}" not found.')
    return signature


def check_inputs(signature: Signature, inputs: dict[str, Array]) -> None:
    """Refuse a request that does not send exactly the signature's inputs.

    Raises:
        InvalidArgumentError: What is missing and what is too much.
    """
    sent, required = sorted(inputs), sorted(signature.inputs)
    if sent != required:
        extra, missing = sorted(set(sent) - set(required)), sorted(set(required) - set(sent))
        raise InvalidArgumentError(
            f"input size does not match signature: {len(sent)}!={len(required)} len({{{','.join(sent)}}})"
            f" != len({{{','.join(required)}}}). Sent extra: {{{','.join(extra)}}}."
            f" Missing but required: {{{','.join(missing)}}}."
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
    return wanted or sorted(signature.outputs)
