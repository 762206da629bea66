"""`python -m load.results`: the JSON schema of what an experiment found; read and written whole or not at all.

Every figure's unit is in its name. A figure that was not measured is null, never 0.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from load.generating import Generator, Protocol

Kind = Literal["modelpress", "flask", "tensorflow-serving"]
Network = Literal["vgg16", "cnn", "digits"]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class ResultsError(Exception):
    """A file is no experiment's results; one sentence with what to do."""


def require_facts(entry: Mapping[str, Any], facts: Mapping[str, Any], how: str) -> None:
    """Refuse to put something else beside an entry of the results, which was `how` (measured, counted) with facts.

    What the entry of an older file does not tell is not held against it.

    Raises:
        ResultsError: naming what differs.
    """
    for name, value in facts.items():
        if name in entry and entry[name] != value:
            raise ResultsError(
                f"{entry['name']} was {how} with {name} {entry[name]!r}, not {value!r}: name another folder with -o"
            )


class _Told(BaseModel):
    """Names are camelCase in JSON; an unknown one is an error."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class Provenance(_Told):
    """Where the numbers come from: enough to repeat them, and to refuse a comparison with another machine's."""

    command: str
    started_at: str
    finished_at: str | None = None
    """Null while the experiment runs, or when it was ended before its last run."""
    commit: str
    dirty: bool
    seed: int
    hardware: str
    cores: int
    memory_gi_b: float = Field(alias="memoryGiB")
    kernel: str
    versions: dict[str, str]
    cluster: str
    data: str
    conditions: dict[str, str] = {}
    """What held for every run, such as the limits of a pod; a run under other conditions is not added to these."""


class ProfileTold(_Told):
    """How many users there were when."""

    name: str
    users: int
    seconds: float
    user_seconds: float
    points: list[tuple[float, float]]
    """(seconds from the start, simultaneous users), joined by straight lines."""
    peak_requests_per_second: float


class Trouble(_Told):
    """A try that ended in an error, so that it gave no figures."""

    at: str
    of: str
    """What was tried, such as a run."""
    error: str
    again: bool
    """Whether it was tried once more; false: it was left out."""


class Prices(_Told):
    """What a core and a gibibyte cost for an hour."""

    currency: str = "USD"
    cpu_core_hour: NotNegative = 0.0
    memory_gibibyte_hour: NotNegative = 0.0
    source: str = "none was given"
    example: bool = False
    """True: of the list that comes with the experiment, and no provider's."""


class Configuration(_Told):
    """What was deployed."""

    name: str
    network: Network
    alpha: float
    bits: int
    channel_sparsity: float = 0.0
    """Share of each hidden layer's channels that is pruned as a whole."""
    kind: Kind
    trained: bool
    """False: its weights are initial ones; size, speed and memory mean something, quality does not."""
    quality_percent: float | None = None
    """Accuracy on the test images; null where it was not trained."""
    zeros_percent: float | None = None
    artifact_bytes: int | None = None
    uncompressed_bytes: int | None = None
    """The same weights as float32."""
    saved_model_bytes: int | None = None
    """The files of the SavedModel on the pod's disk; null but for a server that loads it."""
    bits_per_weight: float | None = None
    entropy_bits_per_weight: float | None = None
    image: str = ""
    cpu_limit: str
    memory_limit: str
    weights: str = ""
    """Where the weights came from, in words."""


class PrometheusKpis(_Told):
    """What Prometheus says over the run's own window."""

    p95_latency_milliseconds: float | None = None
    cpu_millicores: float | None = None
    working_set_mebibytes: float | None = None
    cpu_milliseconds_per_request: float | None = None
    requests: float | None = None
    requests_per_second: float | None = None


class Agreement(_Told):
    """Whether several sources say the same of one figure."""

    kpi: str
    sources: dict[str, float | None]
    within: bool
    tolerance: str
    """The rule, as a sentence."""


class Run(_Told):
    """One configuration under one profile by one protocol, once."""

    configuration: str
    profile: str
    protocol: Protocol
    generator: Generator
    block: int
    session: str = ""
    """When the command began that measured it; empty in older files. Runs are pairs only within one."""
    started_unix: float
    ended_unix: float
    samples: str
    """Path of the samples, from the folder of the results."""
    requests: Count
    failures: dict[str, int] = {}
    requests_per_second: float
    """Answered, over the whole run."""
    p50_milliseconds: float | None = None
    p95_milliseconds: float | None = None
    p99_milliseconds: float | None = None
    generator_cpu_seconds: NotNegative
    node_cpu_seconds: NotNegative
    """Of all processes of the generator's machine while it ran."""
    generator_share_percent: NotNegative
    """While the load lasted, of the processor time that its machine has: cores x seconds of the profile."""
    void: str | None = None
    """Why the run counts for nothing; null when it counts."""
    prometheus: PrometheusKpis | None = None
    operator: dict[str, Any] | None = None
    """`.status.kpis` as the operator wrote it at the end of the run."""
    agreement: list[Agreement] = []
    replicas: list[tuple[float, int]] = []
    """(seconds from the start, pods that are ready)."""


class SaturationStep(_Told):
    """One flat rate."""

    rate: float
    achieved: float
    p95_milliseconds: float | None = None
    failures: Count = 0
    void: str | None = None
    """Why no more can be said at this rate, such as that the generator took too much of the node, or left some out."""


class Saturation(_Told):
    """How much a configuration bears."""

    configuration: str
    protocol: Protocol
    requests_per_second: float | None = None
    """Null where even the lowest rate was too much."""
    at_least: bool = False
    """True: nothing was too much for the server; the search ended at what the generator, or the search, can do."""
    rule: str
    seconds: float | None = None
    """Of each flat rate; null in older files, which do not tell it."""
    steps: list[SaturationStep]


class Results(_Told):
    """All that an experiment found."""

    schema_: Literal[1] = Field(1, alias="schema")
    provenance: Provenance
    profiles: list[ProfileTold] = []
    prices: Prices = Prices()
    configurations: list[Configuration] = []
    runs: list[Run] = []
    troubles: list[Trouble] = []
    saturation: list[Saturation] = []
    scaling: list[dict[str, Any]] = []
    startup: list[dict[str, Any]] = []
    density: list[dict[str, Any]] = []

    def find_configuration(self, name: str) -> Configuration | None:
        """The one of that name."""
        return next((each for each in self.configurations if each.name == name), None)


def read_results(path: Path) -> Results:
    """What the file holds.

    Raises:
        ResultsError: when it cannot be read, or is something else.
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ResultsError(
            f"{path} cannot be read ({error.strerror}): name the results.json of an experiment"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole of it"
        raise ResultsError(
            f"{path} is no experiment's results ({place}: {first['msg']}): name one that this version wrote"
        ) from error


def format_results(results: Results) -> str:
    """The file's text."""
    return json.dumps(results.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"


def write_results(path: Path, results: Results) -> None:
    """Replace the file as a whole: whoever reads it, or ends this process, finds the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w") as out:
        out.write(format_results(results))
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def render_schema() -> Mapping[str, Any]:
    """The JSON schema."""
    return Results.model_json_schema(by_alias=True)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(render_schema(), indent=2) + "\n")
