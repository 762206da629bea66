"""Writes a report: report.html, and each of its pictures beside it."""

from collections.abc import Sequence
from pathlib import Path

from model_artifact.quality_format import name_learnt
from model_builder.report.page import Pictures, render_page
from model_builder.report.plots import draw_confusion, draw_curves, draw_frontier, draw_histograms, draw_layers
from model_builder.report.subject import Subject

REPORT_FILE = "report.html"


def write_report(subjects: Sequence[Subject], folder: Path) -> Path:
    """Write the report into a folder, which is made where it is missing; returns the page's path.

    Raises:
        BuildError: when matplotlib is not installed.
    """
    pictures: Pictures = {"frontier.png": draw_frontier([subject for subject in subjects if subject.comparable])}
    for subject in subjects:
        pictures |= _draw_subject(subject)
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    page = folder / REPORT_FILE
    page.write_text(render_page(subjects, pictures))
    return page


def _draw_subject(subject: Subject) -> Pictures:
    """What there is to draw of one artifact."""
    pictures: Pictures = {}
    task = subject.made.recipe.training.task
    if subject.made.curve:
        numbers = task == "Regression"
        learnt = name_learnt(subject.made)
        pictures["curves"] = draw_curves(subject.made.curve, learnt, "targets" if numbers else "percent")
    if subject.levels:
        pictures["weights"] = draw_histograms(subject.levels, subject.masters, subject.setting)
        pictures["layers"] = draw_layers(subject)
    if subject.made.quality is not None and subject.made.quality.confusion is not None:
        pictures["confusion"] = draw_confusion(subject.made.quality, "pixels" if task == "Segmentation" else "images")
    return {f"{subject.name}-{part}.png": png for part, png in pictures.items()}
