"""Paper 000's tables II to IV and paper 004's tables I and II, ours beside theirs, in Markdown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from model_artifact.recipe import NOT_QUANTISED
from model_builder.efficiency import compression_share, efficiency_score
from model_builder.published import (
    PAPER_000_ACCURACY_PERCENT,
    PAPER_000_ALPHAS,
    PAPER_000_BITS,
    PAPER_000_MEGABYTES,
    PAPER_000_SPARSITY_PERCENT,
    PAPER_004_BITS,
    PAPER_004_GAMMAS,
    PAPER_004_GRID,
    PAPER_004_SCORES,
    Setting,
)
from model_builder.reproduce.choosing import Choice, Honest, choose_by_test, choose_honestly
from model_builder.reproduce.records import AnyKind, DivergedRun, RunRecord
from model_builder.reproduce.rows import (
    NOT_RUN,
    format_bytes,
    format_choice,
    format_honest,
    format_mean,
    format_percent,
    format_points,
    format_table,
    tell_diverged,
)

_UNCOMPRESSED: Setting = (0.0, NOT_QUANTISED)
_POWERS = (1, 2, 3)


@dataclass(frozen=True)
class Cells:
    """What was run of each (alpha, bits).

    Attributes:
        done: the runs that came to their end.
        diverged: the others.
    """

    done: Mapping[Setting, Sequence[RunRecord]]
    diverged: Mapping[Setting, Sequence[DivergedRun]]

    def get(self, setting: Setting) -> Sequence[RunRecord]:
        """The runs of a setting that came to their end."""
        return self.done.get(setting, ())

    def row(self, setting: Setting, *cells: str) -> tuple[str, ...]:
        """A row of the table; of a setting of which every run diverged it says so."""
        named = (*_name(setting), *cells)
        return named if self.get(setting) else tell_diverged(named, self.diverged.get(setting, ()))


def fill_cells(records: Sequence[RunRecord], diverged: Sequence[DivergedRun]) -> Cells:
    """The runs of each (alpha, bits)."""
    return Cells(_split_by_setting(records), _split_by_setting(diverged))


def _split_by_setting(records: Sequence[AnyKind]) -> dict[Setting, list[AnyKind]]:
    cells: dict[Setting, list[AnyKind]] = {}
    for record in records:
        compression = record.recipe.compression
        cells.setdefault((compression.alpha, compression.bits), []).append(record)
    return cells


def _of_all_images(records: Sequence[RunRecord]) -> Sequence[RunRecord]:
    """Runs on all training images, as papers do them; where there are none those with images held out, of one seed."""
    whole = [record for record in records if not record.recipe.training.validation_images]
    first = min((record.recipe.training.seed for record in records), default=0)
    return whole or [record for record in records if record.recipe.training.seed == first]


def render_paper000(records: Sequence[RunRecord], diverged: Sequence[DivergedRun] = ()) -> str:
    """Sparsity, size and accuracy of the six configurations (paper 000, tables II, III and IV)."""
    cells = fill_cells(records, diverged)
    settings = list(product(PAPER_000_ALPHAS, PAPER_000_BITS))
    parts = [
        ("Table II, weights that are zero", _render_sparsity(cells, [s for s in settings if s[0] > 0])),
        ("Table III, size", _render_sizes(cells, settings)),
        ("Table IV, accuracy", _render_accuracies(cells, settings)),
    ]
    return "\n\n".join(f"**{title}**\n\n{table}" for title, table in parts)


def _render_sparsity(cells: Cells, settings: Sequence[Setting]) -> str:
    rows = [
        cells.row(
            setting,
            format_percent(PAPER_000_SPARSITY_PERCENT[setting]),
            format_mean(cells.get(setting), lambda record: record.zeros_percent, "{:.2f} %"),
        )
        for setting in settings
    ]
    return format_table(("alpha", "b", "paper 000", "ours"), rows)


def _render_sizes(cells: Cells, settings: Sequence[Setting]) -> str:
    head = (
        "alpha",
        "b",
        "paper 000",
        "ours, arrays zipped",
        "ours, artifact",
        "bits a weight",
        "entropy",
        "ratio to (0, 32)",
    )
    rows = []
    whole = cells.get(_UNCOMPRESSED)
    for setting in settings:
        found = cells.get(setting)
        ratio = NOT_RUN
        if found and whole:
            ratio = f"{whole[0].size_bytes / found[0].size_bytes:.2f}x"
        rows.append(
            cells.row(
                setting,
                f"{PAPER_000_MEGABYTES[setting]:.2f} MB",
                format_bytes(found[0].plain_zip_bytes) if found else NOT_RUN,
                format_bytes(found[0].size_bytes) if found else NOT_RUN,
                f"{found[0].bits_per_weight:.3f}" if found else NOT_RUN,
                f"{found[0].entropy_bits_per_weight:.3f}" if found else NOT_RUN,
                ratio,
            )
        )
    return format_table(head, rows)


def _render_accuracies(cells: Cells, settings: Sequence[Setting]) -> str:
    head = ("alpha", "b", "paper 000", "ours, last epoch", "epoch by test", "epoch by held-out", "optimism", "deployed")
    rows = []
    for setting in settings:
        found = cells.get(setting)
        theirs = _of_all_images(found)
        honest = choose_honestly(found)
        rows.append(
            cells.row(
                setting,
                format_percent(PAPER_000_ACCURACY_PERCENT[setting]),
                format_mean(theirs[:1], lambda record: record.curve[-1].test_quality, "{:.2f} %"),
                _format_accuracy(choose_by_test(theirs)),
                format_honest(honest),
                format_points(honest.optimism_points if honest else None),
                _format_deployed(_list_stored(found, honest)),
            )
        )
    return format_table(head, rows)


def _format_accuracy(choice: Choice | None) -> str:
    return NOT_RUN if choice is None else f"{choice.epoch.test_quality:.2f} %"


def _list_stored(records: Sequence[RunRecord], honest: Honest | None) -> list[RunRecord]:
    """The runs whose epoch and rate held-out images chose, which is what their artifacts hold; without any, all."""
    return list(records) if honest is None else [choice.record for choice in honest.choices]


def _format_deployed(stored: Sequence[RunRecord]) -> str:
    """Accuracy of the unpacked .tflite."""
    return format_mean(stored, lambda record: record.quality.deployed if record.quality else None, "{:.2f} %")


def render_paper004(records: Sequence[RunRecord], diverged: Sequence[DivergedRun] = ()) -> str:
    """Accuracy with density, and efficiency scores, for the whole grid (paper 004, tables I and II)."""
    cells = fill_cells(records, diverged)
    return (
        f"**Table I, accuracy (density)**\n\n{_render_grid(cells)}\n\n"
        f"**Table II, efficiency scores for p = 1, 2, 3**\n\n{_render_scores(cells)}"
    )


def _render_grid(cells: Cells) -> str:
    head = (
        "gamma",
        "b",
        "paper 004",
        "ours, chosen by test",
        "ours, chosen by held-out",
        "optimism",
        "deployed",
        "bits counted",
    )
    rows = []
    for setting in product(PAPER_004_GAMMAS, PAPER_004_BITS):
        found = cells.get(setting)
        paper, honest = PAPER_004_GRID[setting], choose_honestly(found)
        stored = _list_stored(found, honest)
        rows.append(
            cells.row(
                setting,
                f"{paper.accuracy_percent:.2f} % ({paper.density_percent:.2f} %)",
                format_choice(choose_by_test(_of_all_images(found))),
                format_honest(honest),
                format_points(honest.optimism_points if honest else None),
                _format_deployed(stored),
                f"{max(record.code_bits for record in stored)}" if stored else NOT_RUN,
            )
        )
    return format_table(head, rows)


def _render_scores(cells: Cells) -> str:
    """Each score with one network: the epoch that the test images chose, and the one that is stored."""
    head = ("gamma", "b", "paper 004", "ours, as the paper counts", "ours, the stored network by its bits")
    baseline = choose_by_test(_of_all_images(cells.get(_UNCOMPRESSED)))
    rows = []
    for setting in product([gamma for gamma in PAPER_004_GAMMAS if gamma > 0], (8, 4, 3)):
        choice = choose_by_test(_of_all_images(cells.get(setting)))
        theirs = " / ".join(f"{PAPER_004_SCORES[(*setting, power)]:.2f}" for power in _POWERS)
        if choice is None or baseline is None:
            rows.append(cells.row(setting, theirs, NOT_RUN, NOT_RUN))
            continue
        accuracies = choice.epoch.test_quality, baseline.epoch.test_quality
        counted = compression_share(choice.density_percent / 100, setting[1])
        stored = _score_stored(choice.record, baseline.record)
        rows.append(cells.row(setting, theirs, _format_scores(*accuracies, counted), stored))
    return format_table(head, rows)


def _score_stored(record: RunRecord, whole: RunRecord) -> str:
    """The scores of what is stored: the accuracy of the unpacked .tflite, and the bits that a weight takes there."""
    if record.quality is None or whole.quality is None:
        return NOT_RUN
    return _format_scores(record.quality.deployed, whole.quality.deployed, record.bits_per_weight / NOT_QUANTISED)


def _format_scores(accuracy: float, baseline: float, share: float) -> str:
    scores = (efficiency_score(accuracy, baseline, share, power) for power in _POWERS)
    return " / ".join("-" if score is None else f"{score:.2f}" for score in scores)


def _name(setting: Setting) -> tuple[str, str]:
    return f"{setting[0]:g}", str(setting[1])
