"""Runs sorted into cells: one configuration under one profile, asked one way; void runs are left out. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from load.report.bootstrap import Blocks
from load.report.paper import NETWORK, SETTINGS, Setting
from load.results import Configuration, ProfileTold, Results, Run, Saturation
from load.saturation import format_rate, is_known
from model_operator.planning.quantity import parse_quantity

NETWORK_NAMES = {"vgg16": "VGG-16", "cnn": "CNN", "digits": "Digits network"}
KIND_NAMES = {"flask": "Flask, TensorFlow float32", "tensorflow-serving": "TensorFlow Serving"}
PROTOCOL_NAMES = {"rest": "REST", "grpc": "gRPC"}
_GENERATORS = {"jmeter": "JMeter", "python": "the Python generator"}

State = Literal["run", "void", "not run"]


@dataclass(frozen=True, order=True)
class Way:
    """How models are asked: the protocol, and the program that asks."""

    protocol: str
    generator: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{PROTOCOL_NAMES[self.protocol]} by {_GENERATORS[self.generator]}"


@dataclass(frozen=True)
class Condition:
    """Under which profile, and how asked."""

    profile: str
    way: Way


@dataclass(frozen=True)
class Measure:
    """A figure of a run; less is better for each.

    Attributes:
        key: short name.
        title: for people, without unit.
        unit: of the figure.
        read: the figure of a run, None where it was not measured.
        digits: behind the point.
    """

    key: str
    title: str
    unit: str
    read: Callable[[Run], float | None]
    digits: int


P95 = Measure("p95", "p95 response time", "ms", lambda run: run.p95_milliseconds, 2)
MEMORY = Measure(
    "memory", "Memory", "MiB", lambda run: run.prometheus.working_set_mebibytes if run.prometheus else None, 1
)
CPU = Measure("cpu", "CPU", "mCore", lambda run: run.prometheus.cpu_millicores if run.prometheus else None, 1)
CPU_A_REQUEST = Measure(
    "cpu-a-request",
    "CPU a request",
    "ms",
    lambda run: run.prometheus.cpu_milliseconds_per_request if run.prometheus else None,
    2,
)
MEASURES = (P95, MEMORY, CPU, CPU_A_REQUEST)


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        label: for people.
        setting: (alpha, bits); None of a baseline.
        configuration: None where there is none in the results, so that nothing of it was run.
    """

    label: str
    setting: Setting | None
    configuration: Configuration | None


class Cells:
    """The runs that count, by cell."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._runs: dict[tuple[str, Condition], dict[int, Run]] = {}
        self._void: set[tuple[str, Condition]] = set()
        for run in sorted(results.runs, key=lambda run: run.started_unix):
            key = run.configuration, Condition(run.profile, Way(run.protocol, run.generator))
            if run.void is None:
                self._runs.setdefault(key, {})[run.block] = run
            else:
                self._void.add(key)

    @property
    def ways(self) -> list[Way]:
        """In which any run was asked, REST by JMeter first."""
        found = {Way(run.protocol, run.generator) for run in self.results.runs}
        return sorted(found, key=lambda way: (way.protocol != "rest", way.generator != "jmeter"))

    @property
    def blocks(self) -> int:
        """In how many blocks any run counts."""
        return len({number for runs in self._runs.values() for number in runs})

    def find(self, name: str, condition: Condition) -> list[Run]:
        """The runs of a cell that count, one a block; the last where a block has several."""
        runs = self._runs.get((name, condition), {})
        return [runs[block] for block in sorted(runs)]

    def state(self, name: str, condition: Condition) -> State:
        """Whether anything counts in a cell."""
        if (name, condition) in self._runs:
            return "run"
        return "void" if (name, condition) in self._void else "not run"

    def measure(self, name: str, condition: Condition, measure: Measure) -> Blocks:
        """A figure by block and session; a figure that was not measured, or is 0, is left out."""
        values = {(run.block, run.session): measure.read(run) for run in self.find(name, condition)}
        return {block: value for block, value in values.items() if value}

    def rate(self, name: str, condition: Condition) -> float | None:
        """Requests a second that were answered, the mean over blocks."""
        rates = [run.requests_per_second for run in self.find(name, condition)]
        return sum(rates) / len(rates) if rates else None

    def failures(self, name: str, condition: Condition) -> tuple[int, int]:
        """How many requests failed, of how many."""
        runs = self.find(name, condition)
        return sum(sum(run.failures.values()) for run in runs), sum(run.requests for run in runs)


def speaks(configuration: Configuration, way: Way) -> bool:
    """Whether a configuration can be asked this way: a Flask pod has no gRPC."""
    return way.protocol == "rest" or configuration.kind != "flask"


def list_networks(results: Results) -> list[str]:
    """VGG-16, which the paper is about, and the others that there are."""
    others = {each.network for each in results.configurations} - {NETWORK}
    return [NETWORK, *sorted(others)]


def list_rows(results: Results, network: str) -> list[Row]:
    """The paper's six settings, whether there or not, then our others, then baselines."""
    own = [each for each in results.configurations if each.network == network]
    ours = [each for each in own if each.kind == "modelpress"]
    settings = [*SETTINGS, *sorted({setting_of(each) for each in ours} - set(SETTINGS), key=lambda s: (-s[1], s[0]))]
    rows = []
    for setting in settings:
        found = [each for each in ours if setting_of(each) == setting]
        names = [""] if len(found) <= 1 else [f" ({each.name})" for each in found]
        here: list[Configuration | None] = [*found] or [None]
        rows += [Row(name_setting(setting) + name, setting, each) for name, each in zip(names, here, strict=True)]
    baselines = [Row(_name_baseline(each), None, each) for each in own if each.kind != "modelpress"]
    missing = {"flask", "tensorflow-serving"} - {each.kind for each in own}
    return [*rows, *baselines, *(Row(KIND_NAMES[kind], None, None) for kind in sorted(missing))]


def find_row(results: Results, network: str, setting: Setting) -> Configuration | None:
    """Ours at this setting."""
    return next((row.configuration for row in list_rows(results, network) if row.setting == setting), None)


def find_flask(results: Results, network: str) -> Configuration | None:
    """The paper's kind of baseline."""
    return next((each for each in results.configurations if (each.network, each.kind) == (network, "flask")), None)


def find_saturation(results: Results, name: str, protocol: str) -> Saturation | None:
    """What is known of the highest rate that a configuration bears; None where nothing is."""
    found = [each for each in results.saturation if (each.configuration, each.protocol) == (name, protocol)]
    return next((each for each in reversed(found) if is_known(each)), None)


def explain_saturated(cells: Cells, made: Configuration, condition: Condition) -> str:
    """Why a profile's peak is more than a configuration bears, so that its latency is a queue's; empty: not known.

    Known from flat rates, or because the peak would take more of the processor than the server may have.
    """
    profile = next((each for each in cells.results.profiles if each.name == condition.profile), None)
    if profile is None:
        return ""
    peak = profile.peak_requests_per_second
    found = find_saturation(cells.results, made.name, condition.way.protocol)
    if found is not None and not found.at_least and (found.requests_per_second or 0.0) < peak:
        return f"bears {format_rate(found)} requests/s, fewer than the {peak:.4g} at this profile's peak"
    costs, limit = cells.measure(made.name, condition, CPU_A_REQUEST), parse_quantity(made.cpu_limit)
    needs = sum(costs.values()) / len(costs) * peak if costs else 0.0
    if limit is not None and needs > 1000 * limit:
        return f"would take {needs:.4g} mCore at this profile's peak, more than its limit of {made.cpu_limit} CPU"
    return ""


def setting_of(configuration: Configuration) -> Setting:
    """What it is compressed by."""
    pair = configuration.alpha, configuration.bits
    return (*pair, configuration.channel_sparsity) if configuration.channel_sparsity else pair


def name_setting(setting: Setting) -> str:
    """As the paper writes it; behind it the share of channels that is pruned as a whole, where there is one."""
    alpha, bits, *channels = setting
    pruned = "".join(f", channels \N{MINUS SIGN}{100 * share:g} %" for share in channels)
    return f"\N{GREEK SMALL LETTER ALPHA} {alpha:g}, b {bits}{pruned}"


def name_configuration(configuration: Configuration) -> str:
    """For people, without the network."""
    if configuration.kind == "modelpress":
        return name_setting(setting_of(configuration))
    return _name_baseline(configuration)


def name_briefly(configuration: Configuration) -> str:
    """For the side of a picture, where there is no room for words."""
    if configuration.kind == "modelpress":
        return name_configuration(configuration).replace("channels ", "c ")
    return {"flask": "Flask", "tensorflow-serving": "TF Serving"}[configuration.kind]


def name_profile(profile: ProfileTold) -> str:
    """For people."""
    if profile.name.startswith("flat"):
        return f"{profile.peak_requests_per_second:g} requests/s, always"
    return f"N = {profile.users}"


def _name_baseline(configuration: Configuration) -> str:
    name = KIND_NAMES[configuration.kind]
    return name if configuration.bits == 32 else f"{name}, b {configuration.bits}"
