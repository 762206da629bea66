"""The tables of a study in Markdown, with what they were measured with; what was not run says *not run*. Pure."""

from collections.abc import Callable, Iterable, Sequence

from model_artifact.manifest import Surroundings
from model_builder.reproduce.own_tables import render_best, render_readings
from model_builder.reproduce.paper_tables import render_paper000, render_paper004
from model_builder.reproduce.records import AnyRun, DivergedRun, RunRecord, select_records
from model_builder.reproduce.rows import name_data
from model_builder.reproduce.studies import Run, Study

_TABLES: dict[Study, Callable[[Sequence[RunRecord], Sequence[DivergedRun]], str]] = {
    "paper000": render_paper000,
    "paper004": render_paper004,
    "readings": render_readings,
    "best": render_best,
}
_BACKENDS = {"tensorflow": ("TensorFlow", ("tensorflow", "tensorflow-cpu")), "jax": ("JAX", ("jax",))}
_NAMES = {"CNN": "The CNN of paper 004", "VGG16": "The VGG-16 of paper 000"}


def render_study(study: Study, runs: Sequence[Run], records: Sequence[AnyRun], command: str) -> str:
    """The study's tables from what is recorded of its runs.

    Args:
        study: which tables.
        runs: of the study; what they gave counts, and nothing else.
        records: of any runs.
        command: that does the runs.
    """
    recipes = [run.recipe for run in runs]
    found = select_records([record for record in records if isinstance(record, RunRecord)], recipes)
    gone = select_records([record for record in records if isinstance(record, DivergedRun)], recipes)
    parts = [_describe(runs, found, command), *_list_diverged(gone), _TABLES[study](found, gone)]
    return "\n\n".join(parts) + "\n"


def _list_diverged(diverged: Sequence[DivergedRun]) -> list[str]:
    """A paragraph on the runs that did not come to their end, where there are any."""
    said = "\n".join(f"- `{run.name}`, in epoch {run.diverged_in_epoch}: {run.sentence}" for run in diverged)
    return [f"Diverged:\n\n{said}"] if said else []


def _describe(runs: Sequence[Run], found: Sequence[RunRecord], command: str) -> str:
    """The network, the training, the images, the machine and the command."""
    training = runs[0].recipe.training
    seeds = sorted({record.recipe.training.seed for record in found})
    plan = (
        f"`{command}`: {len(found)} of {len(runs)} runs are done. {_NAMES[training.network_name]}, recipe"
        f" {training.recipe}, {training.epochs} epochs, batch {training.batch_size}, momentum"
        f" {training.momentum:g}; {_describe_split(runs)}."
    )
    if not found:
        return plan
    return (
        f"{plan}\nEvery accuracy: {_list({name_data(record) for record in found})}; seeds {_list(map(str, seeds))};"
        f" {_list_of_each(_name_hardware, found)}; {_list_of_each(_name_programs, found)};"
        f" {_list_of_each(_name_code, found)};"
        f" {sum(record.seconds for record in found) / 3600:.1f} hours in all."
    )


def _describe_split(runs: Sequence[Run]) -> str:
    held_out = {run.recipe.training.validation_images for run in runs}
    names = {
        0: "trained on 50,000 images, tested on 10,000",
        5_000: "trained on 45,000 images, 5,000 held out to choose by, tested on 10,000",
    }
    return "; or ".join(names[images] for images in sorted(held_out))


def _list_of_each(name: Callable[[Surroundings], str], records: Sequence[RunRecord]) -> str:
    return _list(name(surroundings) for record in records for surroundings in _name_surroundings(record))


def _name_surroundings(record: RunRecord) -> tuple[Surroundings, ...]:
    """What the run was trained on; where its record does not say it, what recorded it, which had TensorFlow."""
    return record.trained_on or (
        Surroundings(
            backend="tensorflow",
            versions=record.versions,
            hardware=record.hardware,
            commit=record.commit,
            source_digest=record.source_digest,
        ),
    )


def _name_hardware(surroundings: Surroundings) -> str:
    accelerator = f"{surroundings.accelerator} beside " if surroundings.accelerator else ""
    return f"{accelerator}{surroundings.hardware}"


def _name_programs(surroundings: Surroundings) -> str:
    backend, packages = _BACKENDS.get(surroundings.backend, (surroundings.backend, (surroundings.backend,)))
    keras, below = (_find_version(surroundings, names) for names in (("keras",), packages))
    return f"Keras {keras} on {backend} {below}"


def _find_version(surroundings: Surroundings, packages: Iterable[str]) -> str:
    return _list(surroundings.versions[name] for name in packages if name in surroundings.versions)


def _name_code(surroundings: Surroundings) -> str:
    """The commit, or the digest of the sources where there is none."""
    return f"commit {surroundings.commit}" if surroundings.commit else f"sources {surroundings.source_digest[:19]}"


def _list(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))
