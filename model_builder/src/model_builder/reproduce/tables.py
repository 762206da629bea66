"""The tables of a study in Markdown, with what they were measured with; what was not run says *not run*. Pure."""

from collections.abc import Callable, Iterable, Sequence

from model_builder.reproduce.own_tables import render_best, render_readings
from model_builder.reproduce.paper_tables import render_paper000, render_paper004
from model_builder.reproduce.records import RunRecord, select_records
from model_builder.reproduce.rows import name_data
from model_builder.reproduce.studies import Run, Study

_TABLES: dict[Study, Callable[[Sequence[RunRecord]], str]] = {
    "paper000": render_paper000,
    "paper004": render_paper004,
    "readings": render_readings,
    "best": render_best,
    "short": render_best,
}
_NAMES = {"CNN": "The CNN of paper 004", "VGG16": "The VGG-16 of paper 000"}


def render_study(study: Study, runs: Sequence[Run], records: Sequence[RunRecord], command: str) -> str:
    """The study's tables from what is recorded of its runs.

    Args:
        study: which tables.
        runs: of the study; what they gave counts, and nothing else.
        records: of any runs.
        command: that does the runs.
    """
    found = select_records(records, [run.recipe for run in runs])
    return f"{_describe(runs, found, command)}\n\n{_TABLES[study](found)}\n"


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
        f" {_list({record.hardware for record in found})}; Keras {_list(_versions(found, 'keras'))} on"
        f" TensorFlow {_list(_versions(found, 'tensorflow', 'tensorflow-cpu'))}; {_list(map(_name_code, found))};"
        f" {sum(record.seconds for record in found) / 3600:.1f} hours in all."
    )


def _describe_split(runs: Sequence[Run]) -> str:
    held_out = {run.recipe.training.validation_images for run in runs}
    names = {
        0: "trained on 50,000 images, tested on 10,000",
        5_000: "trained on 45,000 images, 5,000 held out to choose by, tested on 10,000",
    }
    return "; or ".join(names[images] for images in sorted(held_out))


def _name_code(record: RunRecord) -> str:
    """The commit, or the digest of the sources where there is none."""
    return f"commit {record.commit}" if record.commit else f"sources {record.source_digest[:19]}"


def _versions(records: Sequence[RunRecord], *packages: str) -> set[str]:
    return {record.versions[package] for record in records for package in packages if package in record.versions}


def _list(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))
