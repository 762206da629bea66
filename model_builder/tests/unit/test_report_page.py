import numpy as np
import pytest

from model_artifact.inspection import ArtifactFacts
from model_artifact.manifest import (
    Content,
    Dataset,
    Epoch,
    Layer,
    Manifest,
    Provenance,
    Quality,
    Storage,
    StoredTensor,
    Surroundings,
)
from model_builder.masters import decode_histogram, encode_histogram, make_histogram, read_masters, write_masters
from model_builder.report.page import render_page
from model_builder.report.plots import draw_curves, draw_frontier, draw_histograms
from model_builder.report.subject import Subject, count_levels

KERNEL = Layer(name="conv/kernel", shape=(3, 3, 1, 4), step=0.5, zeros=20, saturated=0)
CODES = np.array([[0] * 9, [0, 0, 0, 3, 3, -2, 1, 1, 1], [0] * 6 + [-2, -2, -2]], np.int8)
STORED = StoredTensor(name="conv/kernel", shape=(3, 9), dtype="int8", step=0.5, coder="dense", streams=())


@pytest.fixture
def subject(recipe):
    """Makes the subject of a report from fields of its provenance and its recipe."""

    def make(name="a model", training=None, **fields):
        made = Provenance(
            recipe=recipe(**(training or {})),
            **{
                "trained": True,
                "dataset": Dataset(name="CIFAR-10", digest="sha256:0", training_images=50_000, test_images=10_000),
                "quality": Quality(deployed=61.25, float_model=61.0, samples=10_000),
                "curve": (make_epoch(1),),
                "layers": (KERNEL,),
                "versions": {"keras": "3"},
                "duration_seconds": 1.0,
                **fields,
            },
        )
        manifest = Manifest(content=Content(files=(), provenance=made), storage=Storage(tensors=(), holes=()))
        facts = ArtifactFacts("sha256:1", 1_000, 2_000, [], manifest)
        return Subject(name, facts, made, None, ())

    return make


def make_epoch(number):
    return Epoch(
        epoch=number,
        loss=1.0,
        accuracy_percent=50.0,
        test_accuracy_percent=55.0,
        zeros_percent=70.0,
        steps_per_second=7.0,
    )


def test_levels_are_code_times_step_with_the_weights_that_were_taken_out():
    levels = count_levels(KERNEL, STORED, CODES)
    assert levels.values.tolist() == [-1.0, 0.0, 0.5, 1.5]
    assert levels.counts.tolist() == [4, 18, 3, 2]
    assert (levels.removed, levels.total, levels.zeros) == (9, 36, 27)


def test_a_model_that_was_not_trained_in_full_is_said_to_be_so(subject):
    page = render_page([subject(trained=False, quality=None, curve=())], {})
    assert "<b>a model</b>: not trained in full; the size means something, no quality does." in page
    assert "not measured" in page
    assert "61.25" not in page


def test_data_other_than_the_published_is_named_beside_the_table(subject):
    copy = Dataset(name="CIFAR-10, <copy>", digest="sha256:0", training_images=50_000, test_images=10_000)
    page = render_page([subject(dataset=copy)], {})
    assert "<b>a model</b>: every accuracy is on CIFAR-10, &lt;copy&gt;." in page
    assert 'class="warn"' not in render_page([subject()], {})


def test_artifacts_with_the_same_warning_share_a_line(subject):
    other = Dataset(name="others", digest="sha256:0", training_images=50_000, test_images=10_000)
    page = render_page([subject("a", dataset=other), subject("b"), subject("c", dataset=other)], {})
    assert '<p class="warn"><b>a</b>, <b>c</b>: every accuracy is on others.</p>' in page


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({}, "nothing: the weights after the last step"),
        ({"keep": "Best"}, "the test images: this accuracy is optimistic"),
        ({"keep": "Best", "validation_images": 100}, "held-out images"),
    ],
)
def test_how_the_epoch_was_chosen_is_said(subject, training, words):
    assert f"<td>chosen by</td><td class=text>{words}</td>" in render_page([subject(training=training)], {})


def test_what_is_missing_is_said_in_its_place(subject):
    page = render_page([subject(curve=())], {})
    for words in ("No epoch was done.", "No kernel is stored apart.", "Not measured for this artifact."):
        assert words in page


def test_pictures_are_inside_the_page(subject):
    page = render_page([subject()], {"frontier.png": b"png", "a model-curves.png": b"curve"})
    assert page.count('src="data:image/png;base64,') == 2


def test_a_name_cannot_write_into_the_page(subject):
    page = render_page([subject(name="<script>")], {})
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_page_says_what_a_training_elsewhere_ran_on(subject):
    surroundings = Surroundings(
        backend="jax", versions={}, hardware="a machine", accelerator="an accelerator", source_digest="sha256:0"
    )
    assert "jax, an accelerator, a machine" in render_page([subject(trained_on=(surroundings,))], {})
    assert "trained on</td>" not in render_page([subject()], {})


def test_only_accuracies_on_cifar_10_stand_beside_published_ones(subject):
    digits = Dataset(name="scikit-learn digits", digest="sha256:0", training_images=1_437, test_images=360)
    assert subject().comparable
    assert not subject(dataset=digits).comparable
    assert not subject(quality=None).comparable


def test_masters_come_back_as_they_were_written(tmp_path):
    weights = np.linspace(-1, 2, 1_000, dtype=np.float32)
    write_masters(tmp_path, [make_histogram("conv/kernel", weights)])
    found = read_masters(tmp_path)["conv/kernel"]
    assert found == make_histogram("conv/kernel", weights) == decode_histogram("conv/kernel", encode_histogram(found))
    assert (found.smallest, found.largest, sum(found.counts)) == (-1.0, 2.0, 1_000)
    assert read_masters(tmp_path / "elsewhere") is None


def test_every_picture_is_a_png_and_the_same_for_the_same_numbers(subject):
    levels = [count_levels(KERNEL, STORED, CODES)]
    masters = {"conv/kernel": make_histogram("conv/kernel", np.linspace(-1, 2, 36))}
    pictures = [
        draw_curves([make_epoch(1), make_epoch(2)]),
        draw_histograms(levels, masters, "alpha 1.25"),
        draw_histograms(levels, None, "alpha 1.25"),
        draw_frontier([subject()]),
        draw_frontier([]),
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert len(set(pictures)) == len(pictures)
    assert draw_frontier([]) == pictures[-1]
