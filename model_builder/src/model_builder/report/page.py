"""The report as one HTML file that needs no other: styles and pictures are inside. Pure."""

import base64
import math
from collections.abc import Sequence
from html import escape

from model_artifact.manifest import Quality, Surroundings
from model_artifact.quality_format import format_quality, name_learnt
from model_builder.published import ANCHORS
from model_builder.report.subject import Subject

Pictures = dict[str, bytes]
"""PNGs by the name of their file."""

_STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1c1c1c; max-width: 72rem; margin: 2rem auto;
  padding: 0 1.2rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.3rem; margin-top: 2.6rem; border-top: 1px solid #ddd; padding-top: 1.2rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e2e2e2; text-align: right; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child, td.text { text-align: left; } td.text { white-space: normal; }
.summary td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
img { max-width: 100%; height: auto; } figure { margin: .4rem 0; } figcaption, .note { color: #555; font-size: .88rem; }
.warn { background: #fff4e0; border-left: 4px solid #d9720a; padding: .5rem .8rem; }
"""


def render_page(subjects: Sequence[Subject], pictures: Pictures) -> str:
    """The whole report.

    Args:
        subjects: what it is about.
        pictures: `frontier.png`, and for each subject those of its parts, by `<subject>-<part>.png`.
    """
    body = [
        "<h1>Compressed models</h1>",
        _render_summary(subjects),
        *_render_warnings(subjects),
        _render_frontier(pictures),
        *(_render_subject(subject, pictures) for subject in subjects),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Compressed models</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def _render_summary(subjects: Sequence[Subject]) -> str:
    head = (
        "model",
        "setting",
        "epochs",
        "quality, deployed",
        "in float32",
        "worst class",
        "size",
        "float32 / size",
        "zeros",
        "bits a weight",
        "entropy",
    )
    table = _render_table(head, [_summarise(subject) for subject in subjects])
    return f'<div class="summary">{table}</div>'


def _summarise(subject: Subject) -> tuple[str, ...]:
    facts, quality = subject.facts, subject.made.quality
    worst = quality.worst_class if quality is not None else None
    weights = sum(math.prod(layer.shape) for layer in subject.made.layers)
    zeros = 100 * sum(layer.zeros for layer in subject.made.layers) / max(1, weights)
    return (
        subject.name,
        subject.setting,
        str(len(subject.made.curve)),
        "not measured" if quality is None else f"{_name(quality)}{format_quality(quality.deployed, quality.unit)}",
        "-" if quality is None else format_quality(quality.float_model, quality.unit),
        "-" if worst is None else f"{worst.name}: {worst.accuracy_percent:.1f} %",
        f"{facts.size_bytes:,}",
        f"{4 * weights / facts.size_bytes:.1f}x",
        f"{zeros:.2f} %",
        f"{8 * facts.weight_bytes / max(1, weights):.3f}",
        f"{facts.entropy_bits_per_weight * facts.weights / max(1, weights):.3f}",
    )


def _name(quality: Quality) -> str:
    """The metric's name before its value; accuracy has none, being what a reader expects."""
    return "" if quality.metric == "Accuracy" else f"{quality.metric} "


def _render_warnings(subjects: Sequence[Subject]) -> list[str]:
    """What a reader must know before believing a number."""
    found: dict[str, list[str]] = {}
    for subject in subjects:
        found.setdefault(_warn(subject), []).append(f"<b>{escape(subject.name)}</b>")
    lines = [f"{', '.join(names)}: {escape(warning)}" for warning, names in found.items() if warning]
    return [f'<p class="warn">{"<br>".join(lines)}</p>'] if lines else []


def _warn(subject: Subject) -> str:
    """What must be known of one artifact; empty where nothing must."""
    if not subject.made.trained:
        return "not trained in full; the size means something, no quality does."
    if subject.made.dataset is not None and subject.made.dataset.name != "CIFAR-10":
        return f"every {name_learnt(subject.made)} is on {subject.made.dataset.name}."
    return ""


def _render_frontier(pictures: Pictures) -> str:
    rows = [
        (
            anchor.name,
            f"{anchor.kilobytes:,.0f} kB",
            f"{anchor.accuracy_percent:.2f} %",
            _COUNTS[anchor.counts],
            anchor.network,
            anchor.source,
        )
        for anchor in ANCHORS
    ]
    table = _render_table(("method", "size", "accuracy", "counted", "network", "source"), rows, texts=(3, 4, 5))
    return (
        "<h2>Accuracy against bytes</h2>"
        + _render_picture(
            "frontier.png",
            pictures,
            _FRONTIER_CAPTION,
        )
        + '<p class="note">The published results are of other networks, trained by other recipes on the published'
        " CIFAR-10; those other than paper 000's are quoted from a survey of them.</p>"
        f"<details><summary>The published results</summary>{table}</details>"
    )


_FRONTIER_CAPTION = (
    "Whole files against whole files. Not drawn: estimated sizes, models of other images, models without a measured"
    " accuracy."
)
_LAYERS_CAPTION = (
    "Zeros and entropy as the rule left the weights. Stored bits can be fewer than the entropy, since channels without"
    " weights are taken out, and a coder may use where a weight stands."
)
_COUNTS = {"file": "length of a file", "estimate": "parameters times bits; not drawn"}


def _render_subject(subject: Subject, pictures: Pictures) -> str:
    parts = [
        f"<h2>{escape(subject.name)}: {escape(subject.setting)}</h2>",
        _render_training(subject),
        "<h3>Training</h3>",
        _render_picture(f"{subject.name}-curves.png", pictures, "Measured after each epoch.", "No epoch was done."),
        "<h3>Weights before and after</h3>",
        _render_picture(
            f"{subject.name}-weights.png", pictures, _explain_weights(subject), "No kernel is stored apart."
        ),
        *_render_confusion(subject, pictures),
        "<h3>Layers</h3>",
        _render_picture(f"{subject.name}-layers.png", pictures, _LAYERS_CAPTION, "No kernel is stored apart."),
        _render_layers(subject),
    ]
    return "\n".join(parts)


def _render_confusion(subject: Subject, pictures: Pictures) -> list[str]:
    """The confusion of classes, where there are classes."""
    if subject.made.recipe.training.task == "Regression":
        return []
    name, caption = f"{subject.name}-confusion.png", _explain_confusion(subject)
    return ["<h3>Confusion</h3>", _render_picture(name, pictures, caption, "Not measured for this artifact.")]


def _render_training(subject: Subject) -> str:
    made = subject.made
    training, rule = made.recipe.training, made.recipe.compression
    schedule = (
        f"{len(made.curve)} of {training.epochs} epochs, batch {training.batch_size}, learning rate"
        f" {training.learning_rate:g}, momentum {training.momentum:g}, seed {training.seed}"
    )
    facts = {
        "network": f"{training.network_name}, {training.task}, recipe {training.recipe}, {training.precision}",
        "training": schedule,
        "chosen by": _explain_choice(subject),
        "data": _explain_data(subject),
        "rule": f"{subject.setting}; gradient: {rule.chosen_update}, P->Q once a {rule.frequency.lower()}",
        "digest": subject.facts.digest,
        "recipe": made.recipe.digest,
        **({"trained on": _explain_surroundings(made.trained_on)} if made.trained_on else {}),
        "made with": ", ".join(f"{name} {version}" for name, version in sorted(made.versions.items())),
    }
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class=text>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    return f"<table>{rows}</table>"


def _explain_surroundings(trained_on: Sequence[Surroundings]) -> str:
    """Backend, accelerator and machine of the training, in turn where it was taken up elsewhere."""
    places = ((each.backend, each.accelerator, each.hardware) for each in trained_on)
    return "; then ".join(", ".join(part for part in place if part) for place in places)


def _explain_choice(subject: Subject) -> str:
    training, learnt = subject.made.recipe.training, name_learnt(subject.made)
    if training.keep == "Last":
        return "nothing: the weights after the last step"
    return "held-out images" if training.validation_images else f"the test images: this {learnt} is optimistic"


def _explain_data(subject: Subject) -> str:
    data, held_out = subject.made.dataset, subject.made.recipe.training.validation_images
    if data is None:
        return "none"
    training = data.training_images - held_out
    return f"{data.name}; {training:,} images to train, {held_out:,} held out, {data.test_images:,} to test"


def _explain_weights(subject: Subject) -> str:
    if subject.masters is not None:
        return "Left: the float weights that training kept behind the rule. Right: what is deployed."
    if not subject.made.recipe.compression.compresses:
        return "Nothing was compressed."
    return "The float masters were not kept: there were none, an earlier epoch was chosen, or the folder is not here."


def _explain_confusion(subject: Subject) -> str:
    quality = subject.made.quality
    pixels = "the pixels of " if subject.made.recipe.training.task == "Segmentation" else ""
    return "" if quality is None else f"Of the deployed form, unpacked, on {pixels}{quality.samples:,} test samples."


def _render_layers(subject: Subject) -> str:
    stored = {tensor.name: tensor for tensor in subject.facts.tensors}
    rows = []
    for layer in subject.made.layers:
        weights, tensor = math.prod(layer.shape), stored.get(layer.name)
        rows.append(
            (
                layer.name,
                "x".join(map(str, layer.shape)),
                f"{weights:,}",
                f"{100 * layer.zeros / max(1, weights):.2f} %",
                str(layer.removed_channels or 0),
                "-" if layer.entropy_bits_per_weight is None else f"{layer.entropy_bits_per_weight:.3f}",
                "-" if tensor is None else f"{8 * tensor.stored_bytes / max(1, weights):.3f}",
                "in its file" if tensor is None else f"{tensor.stored_bytes:,}",
                f"{layer.saturated:,}",
            )
        )
    head = ("kernel", "shape", "weights", "zeros", "channels removed", "entropy", "bits a weight", "bytes", "saturated")
    return _render_table(head, rows)


def _render_picture(name: str, pictures: Pictures, caption: str, missing: str = "") -> str:
    if name not in pictures:
        return f'<p class="note">{escape(missing)}</p>'
    data = base64.b64encode(pictures[name]).decode()
    return (
        f'<figure><img alt="{escape(name)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _render_table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int] = ()) -> str:
    """A table; the columns in `texts` hold words and may wrap."""
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    for row in rows:
        cells = (
            f"<td{' class=text' if column in texts else ''}>{escape(cell)}</td>" for column, cell in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"
