from random import Random

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from model_server._protos.tensorflow_serving.apis import predict_pb2
from model_server.errors import FailedPreconditionError, InvalidArgumentError, ServingError
from model_server.inference import Inference
from model_server.predict_forms import MOST_FORMS, PredictForms, parse_request_spec
from model_server.servable import EngineSettings, load_servable
from model_server.wire_grpc import parse_tensor


def make_request(image, name="m", **spec):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = spec.get("signature", "")
    tensor = request.inputs["image"]
    tensor.dtype = 1
    tensor.tensor_content = image.tobytes()
    for size in image.shape:
        tensor.tensor_shape.dim.add(size=size)
    return request


def make_images(count, batch=1):
    return np.random.default_rng(0).normal(size=(count, batch, 8, 8, 3)).astype(np.float32)


@pytest.fixture
def servable(models):
    return load_servable("m", 1, models / "tiny_image", EngineSettings(1, 1))


@pytest.fixture
def ask(servable):
    """Answers messages, each known form as such: the answer as a message, and whether its form was known."""

    def make(**settings):
        forms, inference = PredictForms(Inference(**settings)), Inference(**settings)

        def run(signature, inputs, wanted):
            outputs = servable.run(signature, inputs)
            return {alias: outputs[alias] for alias in wanted or signature.all_outputs}

        def ask_for(request):
            question = forms.read(request.SerializeToString())
            content = forms.answer(servable, question, run)
            answer = predict_pb2.PredictResponse.FromString(content)
            assert answer == inference.predict(servable, request, run)
            return answer, question.form is not None

        return ask_for

    return make


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_requests_of_a_known_form_are_answered_as_the_first_one(ask, as_content, batch):
    ask_for, images = ask(as_content=as_content), make_images(5, batch)
    answers = [ask_for(make_request(image)) for image in images]
    assert [known for _, known in answers] == [False, True, True, True, True]
    assert len({answer.SerializeToString(deterministic=True) for answer, _ in answers}) == 5


def test_each_form_is_told_from_others_of_its_length(ask):
    ask_for, (image, other) = ask(), make_images(2)
    for name, signature in (("m", ""), ("n", ""), ("m", "serving_default"), ("n", "serving_default")):
        for each, known in ((image, False), (other, True)):
            answer, was_known = ask_for(make_request(each, name, signature=signature))
            assert (answer.model_spec.name, was_known) == (name, known)


def test_a_filter_and_a_signature_are_part_of_the_form(ask):
    ask_for, (image, other) = ask(), make_images(2)
    for each in (image, other):
        request = make_request(each)
        request.output_filter.append("scores")
        assert list(ask_for(request)[0].outputs) == ["scores"]
        with pytest.raises(FailedPreconditionError, match='Serving signature key "none" not found'):
            ask_for(make_request(each, signature="none"))


def test_values_two_inputs_and_ambiguous_messages_have_no_form(ask):
    ask_for, (image, _) = ask(), make_images(2)
    values = make_request(image)
    values.inputs["image"].tensor_content = b""
    values.inputs["image"].float_val.extend(image.reshape(-1).tolist())
    assert [ask_for(values)[1] for _ in range(2)] == [False, False]


def test_content_that_stands_elsewhere_as_well_is_not_taken_from_there(servable):
    forms, content = PredictForms(Inference()), bytes(range(32, 64))
    request = make_request(np.frombuffer(content, np.float32), content.decode())
    parts = request.SerializeToString(), make_request(np.zeros(8, np.float32), content.decode()).SerializeToString()
    for _ in range(2):
        question = forms.read(parts[0])
        assert question.form is None
        forms.answer(servable, question, lambda *_: {"scores": np.zeros((1, 4), np.float32)})
    read = forms.read(parts[1])
    assert read.form is None or not read.form.read(parts[1]).any()


def test_what_is_kept_is_bounded(servable):
    forms = PredictForms(Inference())
    for size in range(4, 4 + 3 * MOST_FORMS):
        for name in "abcdefgh":
            message = make_request(np.zeros(size, np.float32), name).SerializeToString()
            for _ in range(2):
                question = forms.read(message)
                forms.answer(servable, question, lambda *_, size=size: {"scores": np.zeros(size, np.float32)})
    assert len(forms._requests) <= MOST_FORMS
    assert max(map(len, forms._requests.values())) <= 4
    assert len(forms._answers) <= MOST_FORMS


def describe_long(message):
    """What protobuf makes of a message, or the kind of error."""
    try:
        request = predict_pb2.PredictRequest.FromString(message)
        ((alias, tensor),) = request.inputs.items()
        array = parse_tensor(alias, tensor)
        return (
            parse_request_spec(request),
            alias,
            array.dtype,
            array.shape,
            array.tobytes(),
            list(request.output_filter),
        )
    except (DecodeError, ServingError, ValueError) as error:
        return type(error)


def test_an_altered_message_is_read_as_protobuf_reads_it(servable):
    forms, random = PredictForms(Inference()), Random(7)  # noqa: S311
    seeds = []
    for image, name, batch in zip(make_images(6), "mmnmnm", (1, 1, 1, 1, 1, 1), strict=True):
        request = make_request(image[:batch], name, signature="serving_default" if name == "n" else "")
        request.output_filter.extend(["scores"] * (name == "n"))
        message = request.SerializeToString()
        forms.answer(servable, forms.read(message), lambda *_: {"scores": np.zeros((1, 4), np.float32)})
        seeds.append(message)
    known = 0
    for _ in range(6000):
        message = alter(random.choice(seeds), random)
        try:
            question = forms.read(message)
        except DecodeError:
            assert describe_long(message) is DecodeError
            continue
        if question.form is not None:
            known += 1
            form, array = question.form, question.form.read(message)
            short = form.spec, form.alias, array.dtype, array.shape, array.tobytes(), list(form.output_filter)
            assert short == describe_long(message)
    # Most alterations hit the content; the rest tell other messages.
    assert 3000 < known < 5900


def alter(message, random):
    """Some bytes changed, in the content mostly; now and then some taken out, put in, or moved."""
    altered = bytearray(message)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(altered)) if random.random() < 0.7 else random.choice([*range(60), *range(-30, 0)])
        altered[place] = random.randrange(256)
    if random.random() < 0.1:
        start = random.randrange(len(altered))
        piece = altered[start : start + random.randint(1, 20)]
        del altered[start : start + len(piece)]
        if random.random() < 0.7:
            place = random.randrange(len(altered))
            altered[place:place] = piece
    return bytes(altered)


def test_a_request_without_a_model_is_refused_each_time():
    forms = PredictForms(Inference())
    for _ in range(2):
        question = forms.read(b"")
        with pytest.raises(InvalidArgumentError, match=r"^Missing ModelSpec$"):
            question.parse_spec()
