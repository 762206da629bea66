"""The tables that no paper has: the readings of the rules, and our best. Pure."""

from collections.abc import Sequence

from model_artifact.recipe import NOT_QUANTISED, Compression, Rule, TrainingRecipe
from model_builder.published import PAPER_000_ACCURACY_PERCENT, PAPER_000_SPARSITY_PERCENT, PAPER_004_GRID, Setting
from model_builder.reproduce.choosing import Choice, choose_by_test
from model_builder.reproduce.records import AnyKind, DivergedRun, RunRecord
from model_builder.reproduce.rows import (
    NOT_RUN,
    format_bytes,
    format_percent,
    format_points,
    format_table,
    tell_diverged,
)
from model_builder.reproduce.studies import (
    BEST_COMPRESSIONS,
    DECAY_RATE,
    DECAY_SETTING,
    LASTING_SETTINGS,
    QUICK_LEARNING_RATE,
    RATE_SETTING,
    READING_RATES,
    READING_SETTINGS,
)

_READINGS = ("Masters", "InPlace", "once an epoch")
_LASTING_EPOCHS = (1, 2, 5, 10, 20, 40, 60)


def render_readings(records: Sequence[RunRecord], diverged: Sequence[DivergedRun] = ()) -> str:
    """Accuracy after the last epoch and density from the first to the last, by rule, setting and reading."""
    done, gone = _of_recipe(records, "Published"), _of_recipe(diverged, "Published")
    decayed, gone_decayed = _of_recipe(records, "Strong"), _of_recipe(diverged, "Strong")
    parts = [
        ("By reading", _render_by_reading(done, gone)),
        ("By learning rate", _render_rates(done, gone)),
        ("With weight decay (recipe Strong)", _render_decay(decayed, gone_decayed)),
        ("In place, from epoch to epoch", _render_lasting(done, gone)),
    ]
    return "\n\n".join(f"**{title}**\n\n{table}" for title, table in parts)


def _of_recipe(runs: Sequence[AnyKind], recipe: TrainingRecipe) -> list[AnyKind]:
    return [run for run in runs if run.recipe.training.recipe == recipe]


def _render_by_reading(records: Sequence[RunRecord], diverged: Sequence[DivergedRun]) -> str:
    rows = [
        (rule, f"{setting[0]:g}", str(setting[1]), _format_paper(setting), *cells)
        for rule, setting in READING_SETTINGS
        for cells in [_format_readings(records, diverged, rule, setting, QUICK_LEARNING_RATE)]
    ]
    return format_table(("rule", "alpha", "b", "paper", *_READINGS), rows)


def _format_readings(
    records: Sequence[RunRecord], diverged: Sequence[DivergedRun], rule: Rule, setting: Setting, rate: float
) -> list[str]:
    """A cell for each of `_READINGS`."""
    found = _split_by_reading(records, rule, setting, rate)
    gone = _split_by_reading(diverged, rule, setting, rate)
    return [_format_reading(found.get(reading), gone.get(reading)) for reading in _READINGS]


def _render_decay(records: Sequence[RunRecord], diverged: Sequence[DivergedRun]) -> str:
    """Both readings at one setting, with the epochs that they were given."""
    epochs = sorted({run.recipe.training.epochs for runs in (records, diverged) for run in runs})
    masters, in_place, _ = _format_readings(records, diverged, "OffsetRound", DECAY_SETTING, DECAY_RATE)
    row = (
        "OffsetRound",
        f"{DECAY_SETTING[0]:g}",
        str(DECAY_SETTING[1]),
        f"{DECAY_RATE:g}",
        ", ".join(map(str, epochs)) or NOT_RUN,
        _format_paper(DECAY_SETTING),
        masters,
        in_place,
    )
    return format_table(("rule", "alpha", "b", "learning rate", "epochs", "paper", *_READINGS[:2]), [row])


def _render_lasting(records: Sequence[RunRecord], diverged: Sequence[DivergedRun]) -> str:
    """OffsetRound in place: the epoch that the paper would choose, and how many weights were not zero after which.

    Zeros by rounding count, too: at gamma 0 pruning leaves every weight.
    """
    head = ("alpha", "b", "learning rate", "paper", "best by test, and its epoch")
    rows = []
    for setting in LASTING_SETTINGS:
        found = _split_by_reading(records, "OffsetRound", setting, QUICK_LEARNING_RATE).get("InPlace")
        gone = _split_by_reading(diverged, "OffsetRound", setting, QUICK_LEARNING_RATE).get("InPlace")
        start = (f"{setting[0]:g}", str(setting[1]), f"{QUICK_LEARNING_RATE:g}", _format_paper(setting))
        rows.append(tell_diverged((*start, *_format_lasting(found)), [gone] if gone else []))
    return format_table((*head, *(f"not zero after {epoch}" for epoch in _LASTING_EPOCHS)), rows)


def _format_lasting(record: RunRecord | None) -> list[str]:
    chosen = choose_by_test([] if record is None else [record])
    if record is None or chosen is None:
        return [NOT_RUN] * (1 + len(_LASTING_EPOCHS))
    left = {epoch.epoch: 100 - epoch.zeros_percent for epoch in record.curve}
    best = f"{chosen.epoch.test_quality:.2f} % ({chosen.density_percent:.2f} %), {chosen.epoch.epoch}"
    return [best, *(f"{left[epoch]:.1f} %" if epoch in left else NOT_RUN for epoch in _LASTING_EPOCHS)]


def _split_by_reading(runs: Sequence[AnyKind], rule: Rule, setting: Setting, rate: float) -> dict[str, AnyKind]:
    """The runs of a rule and a setting at a learning rate, by how they read the rule."""
    return {
        name_reading(run.recipe.compression): run
        for run in runs
        if run.recipe.training.learning_rate == rate and _is_at(run.recipe.compression, rule, setting)
    }


def _render_rates(records: Sequence[RunRecord], diverged: Sequence[DivergedRun]) -> str:
    """OffsetRound in place at one setting and several learning rates."""
    found, gone = _split_by_rate(records), _split_by_rate(diverged)
    rows = [
        (
            "OffsetRound",
            f"{RATE_SETTING[0]:g}",
            str(RATE_SETTING[1]),
            f"{rate:g}",
            _format_reading(found.get(rate), gone.get(rate)),
        )
        for rate in (QUICK_LEARNING_RATE, *READING_RATES)
    ]
    return format_table(("rule", "alpha", "b", "learning rate", "InPlace"), rows)


def _split_by_rate(runs: Sequence[AnyKind]) -> dict[float, AnyKind]:
    return {
        run.recipe.training.learning_rate: run
        for run in runs
        if _is_at(run.recipe.compression, "OffsetRound", RATE_SETTING)
        and name_reading(run.recipe.compression) == "InPlace"
    }


def _is_at(compression: Compression, rule: Rule, setting: Setting) -> bool:
    return compression.rule == rule and (compression.alpha, compression.bits) == setting


def name_reading(compression: Compression) -> str:
    """Where the gradient goes, or that P->Q runs once an epoch."""
    return "once an epoch" if compression.frequency == "Epoch" else compression.chosen_update


def _format_reading(record: RunRecord | None, diverged: DivergedRun | None) -> str:
    if record is None:
        return tell_diverged([NOT_RUN], [diverged] if diverged else [])[0]
    first, last = (Choice(record, epoch).density_percent for epoch in (record.curve[0], record.curve[-1]))
    nonzero = 100 - record.zeros_percent
    return f"{record.curve[-1].test_quality:.2f} % ({first:.1f} → {last:.1f} %; not zero {nonzero:.1f} %)"


def _format_paper(setting: Setting) -> str:
    if setting in PAPER_004_GRID:
        cell = PAPER_004_GRID[setting]
        return f"004: {cell.accuracy_percent:.2f} % ({cell.density_percent:.2f} %)"
    density = 100 - PAPER_000_SPARSITY_PERCENT[setting]
    return f"000, VGG-16: {PAPER_000_ACCURACY_PERCENT[setting]:.2f} % ({density:.2f} %)"


def render_best(records: Sequence[RunRecord], diverged: Sequence[DivergedRun] = ()) -> str:
    """Our best of each compression, against our own float network of the same recipe."""
    head = (
        "alpha",
        "b",
        "one step for each",
        "channels pruned",
        "first and last layer",
        "deployed",
        "against (0, 32)",
        "zeros",
        "weights left in the network",
        "artifact",
        "bits a weight",
        "ratio to float32",
    )
    done = {record.recipe.compression: record for record in records}
    gone = {run.recipe.compression: run for run in diverged}
    whole = done.get(BEST_COMPRESSIONS[0])
    rows = []
    for compression in BEST_COMPRESSIONS:
        cells = (*_name_best(compression), *_render_best_cells(done.get(compression), whole))
        rows.append(tell_diverged(cells, [gone[compression]]) if compression in gone else cells)
    return format_table(head, rows)


def _name_best(compression: Compression) -> tuple[str, ...]:
    share = compression.channel_sparsity
    return (
        f"{compression.alpha:g}",
        str(compression.bits),
        "none" if compression.bits == NOT_QUANTISED else compression.chosen_granularity.lower(),
        "none" if share is None else f"{100 * share:g} %",
        "as all" if compression.chosen_first_and_last_layers == "Compressed" else "dense",
    )


def _render_best_cells(record: RunRecord | None, whole: RunRecord | None) -> tuple[str, ...]:
    if record is None or record.quality is None:
        return (NOT_RUN,) * 7
    against = None
    if whole is not None and whole.quality is not None:
        against = record.quality.deployed - whole.quality.deployed
    return (
        format_percent(record.quality.deployed),
        format_points(against),
        format_percent(record.zeros_percent),
        f"{record.deployed_weights / 1e6:.3g} M of {record.weights / 1e6:.3g} M",
        format_bytes(record.size_bytes),
        f"{record.bits_per_weight:.3f}",
        f"{4 * record.weights / record.size_bytes:.1f}x",
    )
