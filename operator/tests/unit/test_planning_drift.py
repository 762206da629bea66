from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_operator import names
from model_operator.planning.drift import find_drift, hash_change, hash_kept, hash_object, render_applied
from model_operator.planning.quantity import parse_quantity

CONTAINER = {
    "name": "server",
    "image": "a",
    "args": ["x", "y"],
    "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "tmp", "mountPath": "/run"}],  # noqa: S108
}
WANTED = render_applied(
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "small", "ownerReferences": [{"uid": "1", "controller": True}]},
        "spec": {"containers": [CONTAINER], "emptyDir": {}, "metrics": [{"type": "A", "value": 1}, {"type": "B"}]},
    }
)


def live(**spec):
    """The object as the API server gives it back, with a change of its spec."""
    return {"metadata": WANTED["metadata"] | {"uid": "9"}, "spec": WANTED["spec"] | spec, "status": {}}


def with_container(**fields):
    return live(containers=[CONTAINER | fields])


def test_an_object_that_is_not_there_must_be_applied():
    assert find_drift(WANTED, None) == "it is not there"


def test_an_object_that_is_as_it_was_applied_need_not_be():
    assert find_drift(WANTED, live()) is None


def test_the_hash_tells_what_is_stated_no_longer():
    without_hash = {**live(), "metadata": {"name": "small"}}
    assert find_drift(WANTED, without_hash) == "another state is wanted"
    other = render_applied({**WANTED, "spec": {}})
    assert find_drift(other, live()) == "another state is wanted"


def test_what_the_api_server_made_of_it_is_no_drift_until_somebody_changes_it():
    made = with_container(image="mirror.example/a")
    assert find_drift(WANTED, made) == "its spec.containers[server].image was changed"
    assert find_drift(WANTED, made, hash_kept(made)) is None
    noted = {
        **made,
        "metadata": {**made["metadata"], "resourceVersion": "7", "generation": 3},
        "status": {"replicas": 1},
    }
    assert find_drift(WANTED, noted, hash_kept(made)) is None
    assert (
        find_drift(WANTED, with_container(image="b"), hash_kept(made))
        == "its spec.containers[server].image was changed"
    )
    scaled = {**made, "spec": made["spec"] | {"replicas": 3}}
    assert find_drift(WANTED, scaled, hash_kept(made)) is None
    anew = {**made, "metadata": {**made["metadata"], "uid": "10"}}
    assert find_drift(WANTED, anew, hash_kept(made)) == "its spec.containers[server].image was changed"
    other = render_applied({**WANTED, "spec": {}})
    assert find_drift(other, made, hash_kept(made)) == "another state is wanted"


def test_what_an_apply_became_is_noted_where_it_is_not_what_was_stated():
    made = with_container(image="mirror.example/a")
    assert hash_change(WANTED, live()) is None
    assert hash_change(WANTED, made) == hash_kept(made)


def test_annotations_of_ours_and_data_are_part_of_what_an_object_became():
    metadata = {"name": "small", "annotations": {names.ANNOTATION_REVISION: "r"}}
    wanted = render_applied({"kind": "ConfigMap", "metadata": metadata, "data": {"a": "1", "b": "1"}})
    made = {**wanted, "data": {"a": "1", "b": "2"}}
    kept = hash_change(wanted, made)
    assert find_drift(wanted, made, kept) is None
    assert find_drift(wanted, {**made, "data": {"a": "2", "b": "2"}}, kept) == "its data.a was changed"
    annotations = wanted["metadata"]["annotations"]
    for noted, drifts in (({names.ANNOTATION_REVISION: "s"}, True), ({"example.com/note": "s"}, False)):
        edited = {**made, "metadata": wanted["metadata"] | {"annotations": annotations | noted}}
        assert (find_drift(wanted, edited, kept) is not None) is drifts


def test_the_hash_does_not_depend_on_order():
    assert (
        hash_object({"a": 1, "b": [1, 2]}) == hash_object({"b": [1, 2], "a": 1}) != hash_object({"b": [2, 1], "a": 1})
    )


@pytest.mark.parametrize("selector", [{"app": "a"}, {"matchLabels": {"app": "a"}}])
def test_a_selector_that_someone_adds_to_is_drift(selector):
    wanted = render_applied({"kind": "Service", "metadata": {"name": "small"}, "spec": {"selector": selector}})
    as_applied = {"metadata": wanted["metadata"], "spec": {"selector": selector, "clusterIP": "192.0.2.1"}}
    assert find_drift(wanted, as_applied) is None
    more = {key: {**value, "tier": "b"} if isinstance(value, dict) else value for key, value in selector.items()}
    added = more if more != selector else {**selector, "tier": "b"}
    assert find_drift(wanted, {**as_applied, "spec": {"selector": added}}) == "its spec.selector was changed"


@pytest.mark.parametrize(
    "same",
    [
        live(added="by another"),
        with_container(terminationMessagePath="/dev/termination-log"),
        with_container(resources={"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}),
        with_container(resources={"limits": {"cpu": 1, "memory": 2**30}}),
        live(containers=[{"name": "sidecar"}, CONTAINER]),
        live(emptyDir=None),
        live(metrics=[{"type": "B"}, {"type": "A", "value": "1000m"}]),
    ],
)
def test_defaults_rewritten_quantities_and_fields_of_others_are_no_drift(same):
    assert find_drift(WANTED, same) is None


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        (with_container(image="b"), "spec.containers[server].image"),
        (with_container(args=["x"]), "spec.containers[server].args"),
        (with_container(args="x"), "spec.containers[server].args"),
        (with_container(args=["y", "x"]), "spec.containers[server].args"),
        (with_container(resources=None), "spec.containers[server].resources"),
        (with_container(volumeMounts=CONTAINER["volumeMounts"][:1]), "spec.containers[server].volumeMounts[/run]"),
        (live(containers=[]), "spec.containers[server]"),
        (live(containers=None), "spec.containers"),
        (live(emptyDir="x"), "spec.emptyDir"),
        (live(metrics=[{"type": "A", "value": 1}]), "spec.metrics"),
        (live(metrics=[{"type": "A", "value": 1}, {"type": "B"}, {"type": "C"}]), "spec.metrics"),
    ],
)
def test_a_stated_field_that_is_not_so_is_named(changed, path):
    assert find_drift(WANTED, changed) == f"its {path} was changed"


def test_a_controller_that_became_a_mere_owner_is_drift():
    demoted = live()
    demoted["metadata"] = demoted["metadata"] | {"ownerReferences": [{"uid": "1", "controller": False}]}
    assert find_drift(WANTED, demoted) == "its metadata.ownerReferences[1].controller was changed"


def test_the_hash_is_kept_beside_other_annotations():
    applied = render_applied({"metadata": {"annotations": {"a": "b"}}})
    assert applied["metadata"]["annotations"]["a"] == "b"
    assert len(applied["metadata"]["annotations"][names.ANNOTATION_APPLIED]) == 16


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1000m", 1),
        ("1", 1),
        (1, 1),
        ("0.5", Decimal("0.5")),
        (".5", Decimal("0.5")),
        ("1Gi", 2**30),
        ("1024Mi", 2**30),
        ("1G", 10**9),
        ("1e3", 1000),
        ("1E", 10**18),
        ("100n", Decimal("1e-7")),
    ],
)
def test_quantities_are_numbers(text, number):
    assert parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "one", True, None, [1], "1mm", "--1"])
def test_other_values_are_no_quantities(text):
    assert parse_quantity(text) is None


@given(st.integers(0, 10**9))
def test_a_thousand_thousandths_are_one(number):
    assert parse_quantity(f"{number * 1000}m") == parse_quantity(str(number)) == number
