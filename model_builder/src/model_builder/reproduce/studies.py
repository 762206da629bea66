"""Which runs reproduce which table. Pure.

`quick` is a part that two cores can do: the CNN of paper 004 for few epochs. A run is known by its recipe's digest, so
runs that several tables share are done once, and more epochs are another run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from model_artifact.recipe import MAXIMUM_EPOCHS, Compression, Recipe, Rule, Training, Update
from model_builder.errors import BuildError
from model_builder.published import (
    PAPER_000_ALPHAS,
    PAPER_000_BITS,
    PAPER_004_BITS,
    PAPER_004_GAMMAS,
    PAPER_004_LEARNING_RATES,
    Setting,
)

Study = Literal["paper000", "paper004", "readings", "best"]

VALIDATION_IMAGES = 5_000
"""Held out of the 50,000 training images to choose by."""
SEEDS = (0, 1, 2)
PAPER_004_EPOCHS, PAPER_004_PATIENCE = 200, 30
"""Up to 200 epochs, stopped early (paper 004, III C); it gives no patience, this one is ours."""
PAPER_000_EPOCHS = 50
QUICK_GRID: tuple[Setting, ...] = tuple(product((0.0, 0.375, 0.75), (32, 8, 4)))
QUICK_LEARNING_RATE = 0.01
"""The best for moderate compression (paper 004, IV D)."""
QUICK_EPOCHS = 3
READING_EPOCHS, LONG_READING_EPOCHS = 2, 50
DECAY_READING_EPOCHS = 30
LASTING_READING_EPOCHS = 60
QUICK_BEST_EPOCHS = 6
BEST_EPOCHS = 160
STRONG_LEARNING_RATE = 0.02
"""For VGG-16; after two epochs 74.3 % of the test images, at 0.05 72.2 (docs/decisions/0036)."""


@dataclass(frozen=True)
class Part:
    """What of a study is done.

    Attributes:
        study: which tables.
        quick: the CNN for few epochs, which two cores can do.
        epochs: of every run, 1 to 10,000; None for as many as the study has.
    """

    study: Study
    quick: bool = False
    epochs: int | None = None

    @property
    def arguments(self) -> str:
        """As `model-builder reproduce` takes it."""
        epochs = [] if self.epochs is None else [f"--epochs {self.epochs}"]
        return " ".join([self.study, *(["--quick"] if self.quick else []), *epochs])


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes:
        name: unique in the study; fit for a folder's name.
        recipe: what is trained.
    """

    name: str
    recipe: Recipe


def plan_study(part: Part) -> list[Run]:
    """The runs of a study, those that tell most first.

    Raises:
        BuildError: when the epochs are none that a recipe may have.
    """
    runs = _STUDIES[part.study](part.quick)
    if part.epochs is not None:
        runs = [_run(part.study, run.recipe.compression, _for_epochs(run.recipe.training, part.epochs)) for run in runs]
    if len({run.name for run in runs}) != len(runs):
        raise BuildError(f"{part.study}: two runs have one name; this is a fault of the plan")
    return runs


def _for_epochs(training: Training, epochs: int) -> Training:
    if not 1 <= epochs <= MAXIMUM_EPOCHS:
        raise BuildError(f"--epochs {epochs}: a run of a study has 1 to {MAXIMUM_EPOCHS:,}")
    return training.model_copy(update={"epochs": epochs})


def select_runs(runs: list[Run], patterns: list[str]) -> list[Run]:
    """The runs whose name has one of the patterns in it; all when there is no pattern.

    Raises:
        BuildError: when a pattern fits none, with some that there are.
    """
    for pattern in patterns:
        if not any(pattern in run.name for run in runs):
            raise BuildError(f"--only {pattern}: fits no run; there are {', '.join(run.name for run in runs[:3])}, …")
    return [run for run in runs if not patterns or any(pattern in run.name for pattern in patterns)]


def _plan_paper000(quick: bool) -> list[Run]:
    """Six configurations of the rule Floor: SGD 0.05, momentum 0.9, batch 64, 50 epochs (paper 000, section III).

    First the corners, with all three ways to choose; then the rest.
    """
    settings = sorted(product(PAPER_000_ALPHAS, PAPER_000_BITS), key=lambda setting: setting[0] == PAPER_000_ALPHAS[1])
    compressions = [Compression(alpha=alpha, bits=bits, rule="Floor") for alpha, bits in settings]
    if quick:
        cnn = Training(architecture="CNN", dataset="CIFAR10", epochs=QUICK_EPOCHS)
        return [_run("paper000", compression, _held_out(cnn, seed)) for seed in SEEDS for compression in compressions]
    vgg = Training(architecture="VGG16", dataset="CIFAR10", epochs=PAPER_000_EPOCHS)
    theirs = [_run("paper000", compression, vgg) for compression in compressions]
    return theirs + [
        _run("paper000", compression, _held_out(vgg, seed)) for seed in SEEDS for compression in compressions
    ]


def _held_out(training: Training, seed: int) -> Training:
    return training.model_copy(update={"validation_images": VALIDATION_IMAGES, "keep": "Best", "seed": seed})


def _plan_paper004(quick: bool) -> list[Run]:
    """Paper 004's grid with the rule OffsetRound: gamma x bits x learning rate."""
    if quick:
        settings: list[tuple[float, int, float]] = [(*setting, QUICK_LEARNING_RATE) for setting in QUICK_GRID]
    else:
        settings = list(product(PAPER_004_GAMMAS, PAPER_004_BITS, PAPER_004_LEARNING_RATES))
    epochs, patience = (QUICK_EPOCHS, None) if quick else (PAPER_004_EPOCHS, PAPER_004_PATIENCE)
    cnn = Training(architecture="CNN", dataset="CIFAR10", epochs=epochs, patience=patience, keep="Best")
    held_out = [
        _run("paper004", Compression(alpha=gamma, bits=bits, rule="OffsetRound"), _at_rate(_held_out(cnn, seed), rate))
        for seed in SEEDS
        for gamma, bits, rate in settings
    ]
    if quick:
        return held_out
    theirs = [
        _run("paper004", Compression(alpha=gamma, bits=bits, rule="OffsetRound"), _at_rate(cnn, rate))
        for gamma, bits, rate in settings
    ]
    return theirs + held_out


def _at_rate(training: Training, rate: float) -> Training:
    return training.model_copy(update={"learning_rate": rate})


READING_SETTINGS: tuple[tuple[Rule, Setting], ...] = (
    ("OffsetRound", (0.375, 8)),
    ("OffsetRound", (0.0, 8)),
    ("OffsetRound", (0.0, 4)),
    ("OffsetRound", (0.375, 4)),
    ("Floor", (1.25, 8)),
    ("Floor", (0.375, 8)),
    ("Floor", (0.0, 8)),
)
EPOCH_READING_SETTINGS: tuple[tuple[Rule, Setting], ...] = (("OffsetRound", (0.375, 8)), ("Floor", (1.25, 8)))


RATE_SETTING: Setting = (0.375, 8)
READING_RATES = (0.05, 0.1)
"""Beside the one rate of the other runs: in place, density falls faster the more the weights move."""
DECAY_SETTING: Setting = (0.375, 8)
DECAY_RATE = 0.05
"""With the recipe Strong: whether weight decay, which paper 004 names and does not say that it used, leaves as few
weights. Thirty epochs at this rate, which rises and falls, make what no gradient holds about twenty times smaller."""
LASTING_SETTINGS: tuple[Setting, ...] = ((0.375, 32), (0.375, 16), (0.0, 16))
"""In place, whether the weights that are left become as few as the paper's when the training goes on: it had up to 200
epochs. With so many bits hardly anything but pruning takes a weight; at gamma 0 nothing is pruned."""
_READINGS: dict[Rule, tuple[Update, Update]] = {
    "OffsetRound": ("InPlace", "Masters"),
    "Floor": ("Masters", "InPlace"),
}
"""The likelier one first."""


def _plan_readings(quick: bool) -> list[Run]:
    """Both readings of both rules, and once an epoch, at settings where the papers' results tell them apart.

    At one of them with more rates, and with weight decay; at others in place for many epochs.

    Nothing is chosen: the last epoch counts, and no image is held out.
    """
    training = Training(
        architecture="CNN",
        dataset="CIFAR10",
        epochs=READING_EPOCHS if quick else LONG_READING_EPOCHS,
        learning_rate=QUICK_LEARNING_RATE,
    )
    compressions = [
        *(
            Compression(alpha=alpha, bits=bits, rule=rule, update=_READINGS[rule][place])
            for place in (0, 1)
            for rule, (alpha, bits) in READING_SETTINGS
        ),
        *(
            Compression(alpha=alpha, bits=bits, rule=rule, frequency="Epoch")
            for rule, (alpha, bits) in EPOCH_READING_SETTINGS
        ),
    ]
    in_place = Compression(alpha=RATE_SETTING[0], bits=RATE_SETTING[1], rule="OffsetRound", update="InPlace")
    at_rates = [_run("readings", in_place, _at_rate(training, rate)) for rate in READING_RATES]
    decayed = training.model_copy(
        update={
            "recipe": "Strong",
            "learning_rate": DECAY_RATE,
            "epochs": DECAY_READING_EPOCHS if quick else LONG_READING_EPOCHS,
        }
    )
    with_decay = [
        _run(
            "readings",
            Compression(alpha=DECAY_SETTING[0], bits=DECAY_SETTING[1], rule="OffsetRound", update=update),
            decayed,
        )
        for update in get_args(Update)
    ]
    lasting = training.model_copy(update={"epochs": LASTING_READING_EPOCHS if quick else PAPER_004_EPOCHS})
    long = [
        _run("readings", Compression(alpha=alpha, bits=bits, rule="OffsetRound", update="InPlace"), lasting)
        for alpha, bits in LASTING_SETTINGS
    ]
    return [*(_run("readings", compression, training) for compression in compressions), *at_rates, *with_decay, *long]


BEST_COMPRESSIONS: tuple[Compression, ...] = (
    Compression(alpha=0, bits=32, rule="Shadow"),
    Compression(alpha=1.25, bits=8, rule="Shadow"),
    Compression(alpha=1.75, bits=4, rule="Shadow"),
    Compression(alpha=1.75, bits=4, rule="Shadow", granularity="Channel"),
    Compression(alpha=1.25, bits=8, rule="Shadow", channel_sparsity=0.5),
    Compression(alpha=1.75, bits=4, rule="Shadow", channel_sparsity=0.5),
    Compression(alpha=1.75, bits=32, rule="Shadow"),
    Compression(alpha=1.25, bits=8, rule="Shadow", first_and_last_layers="Dense"),
    Compression(alpha=1.75, bits=4, rule="Shadow", first_and_last_layers="Dense"),
    Compression(alpha=1.75, bits=4, rule="Shadow", channel_sparsity=0.05, first_and_last_layers="Dense"),
    Compression(alpha=1.25, bits=8, rule="Shadow", channel_sparsity=0.5, first_and_last_layers="Dense"),
)
"""The paper's and fewer bits. With few of them a step for each output channel is finer than one for the tensor; with
half of each hidden layer's channels pruned as a whole a network is faster on any processor; the first and the last
layer have few weights and much to lose. What is pruned alone, at 32 bits, says what the bits cost."""


def _plan_best(quick: bool) -> list[Run]:
    """What we would do ourselves: the recipe Strong, masters with the rule Shadow, at the paper's and at fewer bits.

    Nothing is chosen: the last epoch counts, and no image is held out. VGG-16 in bfloat16: slower on
    processors without instructions for it.
    """
    training = Training(
        architecture="CNN" if quick else "VGG16",
        dataset="CIFAR10",
        epochs=QUICK_BEST_EPOCHS if quick else BEST_EPOCHS,
        learning_rate=QUICK_LEARNING_RATE if quick else STRONG_LEARNING_RATE,
        recipe="Strong",
        precision="Float32" if quick else "BFloat16",
    )
    return [_run("best", compression, training) for compression in BEST_COMPRESSIONS]


def _run(study: Study, compression: Compression, training: Training) -> Run:
    parts = [
        study,
        training.network_name.lower(),
        compression.rule.lower(),
        *_reading_parts(compression),
        *(["strong"] if study == "readings" and training.recipe == "Strong" else []),
        f"a{compression.alpha:g}",
        f"b{compression.bits}",
        *(["by-channel"] if compression.chosen_granularity == "Channel" else []),
        *([] if compression.channel_sparsity is None else [f"c{compression.channel_sparsity:g}"]),
        *(["dense-ends"] if compression.chosen_first_and_last_layers == "Dense" else []),
        f"r{training.learning_rate:g}",
        f"e{training.epochs}",
        f"v{training.validation_images}",
        f"s{training.seed}",
    ]
    return Run("-".join(parts), Recipe(compression=compression, training=training))


def _reading_parts(compression: Compression) -> list[str]:
    if compression.frequency == "Epoch":
        return ["epoch"]
    return [] if compression.update is None else [compression.update.lower()]


_STUDIES: dict[Study, Callable[[bool], list[Run]]] = {
    "paper000": _plan_paper000,
    "paper004": _plan_paper004,
    "readings": _plan_readings,
    "best": _plan_best,
}
