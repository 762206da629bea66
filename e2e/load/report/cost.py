"""What a thousand requests cost by a price list: the pod's CPU seconds and the time that its memory is held. Pure."""

from dataclasses import dataclass

from load.report.bootstrap import estimate_mean
from load.report.cells import CPU_A_REQUEST, MEMORY, NETWORK_NAMES, Cells, Condition, list_rows, speaks
from load.report.figures import format_significant
from load.report.markup import Cell, render_grid, render_paragraph, render_table
from load.report.model_tables import label_row
from load.results import Configuration, Prices

REQUESTS = 1_000
_SECONDS = 3_600
_MEBIBYTES = 1_024

FORMULA = (
    "Cost of 1,000 requests = 1,000 x CPU seconds a request x price of a core for a second + working set in GiB x"
    " seconds that 1,000 requests take at the run's rate x price of a GiB for a second. What a pod reserves and does"
    " not use is not counted, nor is a node's idle time."
)


@dataclass(frozen=True)
class Cost:
    """Of a thousand requests, in the currency of the price list."""

    cpu: float
    memory: float

    @property
    def whole(self) -> float:
        """Both."""
        return self.cpu + self.memory


def count_cost(
    prices: Prices, cpu_milliseconds_per_request: float, working_set_mebibytes: float, requests_per_second: float
) -> Cost:
    """Of a thousand requests at this rate."""
    cpu_seconds = REQUESTS * cpu_milliseconds_per_request / 1_000
    held_seconds = REQUESTS / requests_per_second
    return Cost(
        cpu_seconds * prices.cpu_core_hour / _SECONDS,
        working_set_mebibytes / _MEBIBYTES * held_seconds * prices.memory_gibibyte_hour / _SECONDS,
    )


def has_prices(prices: Prices) -> bool:
    """Whether anything has a price."""
    return prices.cpu_core_hour > 0 or prices.memory_gibibyte_hour > 0


def find_cost(cells: Cells, made: Configuration, condition: Condition) -> Cost | None:
    """Of a configuration under a condition; None where a figure is missing."""
    cpu, memory = (estimate_mean(cells.measure(made.name, condition, measure)) for measure in (CPU_A_REQUEST, MEMORY))
    rate = cells.rate(made.name, condition)
    if cpu is None or memory is None or not rate:
        return None
    return count_cost(cells.results.prices, cpu.value, memory.value, rate)


def render_cost(cells: Cells, network: str, condition: Condition, title: str) -> str:
    """A table of one network under one condition."""
    currency = cells.results.prices.currency
    lines = []
    for row in list_rows(cells.results, network):
        made = row.configuration
        if made is not None and not speaks(made, condition.way):
            continue
        cost = None if made is None else find_cost(cells, made, condition)
        rate = None if made is None else cells.rate(made.name, condition)
        missing = Cell("not run" if rate is None else "not measured", kind="missing")
        figures = [missing] * 3 if cost is None else [_tell(part) for part in (cost.cpu, cost.memory, cost.whole)]
        lines.append([label_row(row), *figures, missing if rate is None else Cell(f"{rate:.2f}")])
    head = [
        ("", ["configuration"]),
        (f"{currency} for 1,000 requests", ["CPU", "memory", "both"]),
        ("", ["requests/s"]),
    ]
    return render_table(f"{NETWORK_NAMES[network]}, {title}", head, lines)


def _tell(part: float) -> Cell:
    return Cell(format_significant(part))


def render_prices(prices: Prices) -> str:
    """The price list and the formula, or that there is none."""
    if not has_prices(prices):
        return render_paragraph("No price list was given, so that no cost is told.")
    told = (
        ("Example prices, no provider's: a" if prices.example else "A")
        + f" core costs {prices.cpu_core_hour:g} {prices.currency} an hour, a GiB of memory"
        f" {prices.memory_gibibyte_hour:g} {prices.currency} an hour ({prices.source})."
    )
    return render_paragraph(told) + render_paragraph(FORMULA, "note")


def render_costs(cells: Cells, networks: list[str], conditions: list[tuple[str, Condition]]) -> str:
    """All of it; nothing but the sentence where nothing has a price."""
    if not has_prices(cells.results.prices):
        return render_prices(cells.results.prices)
    tables = [render_cost(cells, network, condition, title) for network in networks for title, condition in conditions]
    return render_prices(cells.results.prices) + render_grid(tables)
