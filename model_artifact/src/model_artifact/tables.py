"""What the commands print for a person. Pure."""

from collections.abc import Sequence

from model_artifact.documents import Change, DiffDocument, LayerPair, Side, TensorDocument
from model_artifact.inspection import ArtifactFacts
from model_artifact.manifest import Layer, Provenance, Surroundings
from model_artifact.naming import format_name
from model_artifact.quality_format import format_quality


def format_rows(rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """The rows in columns as wide as they need; the first `texts` to the left, the others, numbers, to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def format_facts(facts: ArtifactFacts) -> str:
    """An artifact: a line a tensor, then the whole."""
    rows = [("tensor", "shape", "type", "coder", "zeros", "entropy", "stored", "bytes")]
    rows += [
        (
            format_name(tensor.name),
            "x".join(map(str, tensor.shape)),
            tensor.dtype,
            tensor.coder,
            f"{100 * tensor.zeros / tensor.weights:.2f} %" if tensor.weights else "-",
            f"{tensor.entropy_bits_per_weight:.3f}",
            f"{tensor.bits_per_weight:.3f}",
            f"{tensor.stored_bytes:,}",
        )
        for tensor in facts.tensors
    ]
    overhead = facts.size_bytes - facts.weight_bytes
    whole = [
        "",
        f"digest    {facts.digest}",
        f"size      {facts.size_bytes:,} bytes, of which {overhead:,} are graph, golden answers, manifest and ZIP",
        f"unpacked  {facts.unpacked_bytes:,} bytes in {len(facts.manifest.content.files)} files",
        f"weights   {facts.weights:,}, {facts.zeros_percent:.2f} % zero",
        f"stored in {facts.bits_per_weight:.3f} bits a weight; order-0 entropy {facts.entropy_bits_per_weight:.3f}",
    ]
    provenance = facts.manifest.content.provenance
    if provenance is not None:
        whole += [f"quality   {_format_quality(facts)}", *_format_provenance(provenance)]
    return "\n".join(format_rows(rows, 4) + whole)


def _format_provenance(made: Provenance) -> list[str]:
    """How it was made: recipe, data, layers as training left them, golden answers, versions."""
    lines = [f"recipe    {made.recipe.digest}"]
    if made.dataset is not None:
        images = f"{made.dataset.training_images:,} and {made.dataset.test_images:,} images"
        lines.append(f"dataset   {format_name(made.dataset.name)}, {images}, {format_name(made.dataset.digest)}")
    if made.golden is not None:
        lines.append(f"golden    {made.golden.samples} answers within {made.golden.tolerance:g}")
    versions = ", ".join(f"{format_name(name)} {format_name(each)}" for name, each in made.versions.items())
    lines += [f"trained   {_format_surroundings(each)}" for each in made.trained_on or ()]
    lines += [f"versions  {versions}", f"made in   {made.duration_seconds:,.1f} s"]
    rows = [("layer", "step", "zeros", "saturated", "entropy"), *(_layer_statistics(layer) for layer in made.layers)]
    return [*lines, "", *format_rows(rows, 1)]


def _format_surroundings(trained_on: Surroundings) -> str:
    places = (trained_on.backend, trained_on.accelerator, trained_on.hardware)
    return ", ".join(format_name(place) for place in places if place is not None)


def _layer_statistics(layer: Layer) -> tuple[str, ...]:
    entropy = layer.entropy_bits_per_weight
    return (
        format_name(layer.name),
        _format_step(layer),
        f"{layer.zeros:,}",
        f"{layer.saturated:,}",
        "-" if entropy is None else f"{entropy:.3f}",
    )


def _format_step(layer: Layer) -> str:
    if layer.steps is not None:
        return f"{len(layer.steps)} steps"
    return "-" if layer.step is None else f"{layer.step:.6g}"


def _format_quality(facts: ArtifactFacts) -> str:
    provenance = facts.manifest.content.provenance
    if provenance is None or provenance.quality is None or provenance.dataset is None:
        return "untrained: size, speed and memory only"
    quality = provenance.quality
    deployed, floats = (format_quality(value, quality.unit) for value in (quality.deployed, quality.float_model))
    return (
        f"{quality.metric} {deployed} deployed, {floats} in float32,"
        f" {quality.samples} images of {format_name(provenance.dataset.name)}"
    )


def format_difference(difference: DiffDocument) -> str:
    """Two artifacts: what differs in recipe and quality, the whole, then a line a tensor."""
    left, right = _side_cells(difference.a), _side_cells(difference.b)
    changes = [(f"recipe {change.field}", change) for change in difference.recipe]
    changes += [(f"quality {change.field}", change) for change in difference.quality]
    whole = [("", "A", "B"), *((name, left[name], right[name]) for name in left)]
    whole += [(name, format_name(change.a), format_name(change.b)) for name, change in changes]
    lines = ["same content" if difference.same else "different content", "", *format_rows(whole, 3)]
    if difference.layers:
        head = ("tensor", "zeros A", "zeros B", "bits A", "bits B", "bytes A", "bytes B")
        lines += ["", *format_rows([head, *(_layer_cells(pair) for pair in difference.layers)], 1)]
    lines += ["", *(_format_file(change) for change in difference.files)] if difference.files else []
    return "\n".join(lines)


def _side_cells(side: Side) -> dict[str, str]:
    return {
        "digest": side.digest,
        "size": f"{side.size_bytes:,} bytes",
        "unpacked": f"{side.unpacked_bytes:,} bytes",
        "weights": f"{side.weights:,}",
        "zeros": f"{side.zeros_percent:.2f} %",
        "stored": f"{side.bits_per_weight:.3f} bits a weight",
        "entropy": f"{side.entropy_bits_per_weight:.3f} bits a weight",
        "recipe": side.recipe_digest or "-",
    }


def _layer_cells(pair: LayerPair) -> tuple[str, ...]:
    left, right = _tensor_cells(pair.a), _tensor_cells(pair.b)
    return (
        format_name(pair.name),
        *(cell for cells in zip(left, right, strict=True) for cell in cells),
    )


def _tensor_cells(tensor: TensorDocument | None) -> tuple[str, str, str]:
    if tensor is None:
        return "-", "-", "-"
    return f"{tensor.zeros:,}", f"{tensor.bits_per_weight:.3f}", f"{tensor.stored_bytes:,}"


def _format_file(change: Change) -> str:
    """One file that differs."""
    state = "differs" if "null" not in {change.a, change.b} else "only in A" if change.b == "null" else "only in B"
    return f"{state}: {format_name(change.field)}"
