import json
import re

import pytest
from planning_toy import ToyCluster, make_summary

from model_operator import names
from model_operator.api.v1alpha1 import parse_model
from model_operator.observation import Record
from model_operator.planning.job import hash_build, render_job
from model_operator.planning.store import (
    StoreAccess,
    choose_store,
    find_store,
    format_missing_claim,
    format_place,
    join_store,
    lacks_secret,
    render_access,
    split_claim,
)
from model_operator.settings import Settings

BUCKET = Settings(store_uri="s3://models/team", store_secret_name="modelpress-s3")  # noqa: S106  a Secret's name


def spec_of(body, uri=""):
    return parse_model(body | {"spec": body["spec"] | {"store": {"uri": uri}}}).spec


@pytest.mark.parametrize(
    ("own", "settings", "store"),
    [
        ("", Settings(), "pvc://modelpress-store"),
        ("", Settings(store_claim_name="other"), "pvc://other"),
        ("", BUCKET, "s3://models/team"),
        ("s3://mine", BUCKET, "s3://mine"),
        ("pvc://mine", BUCKET, "pvc://mine"),
    ],
)
def test_the_spec_wins_over_the_setting_and_that_over_the_claim(body, own, settings, store):
    assert choose_store(spec_of(body, own), settings) == store


def test_what_was_built_stays_where_it_is(body):
    summary = make_summary("sha256:" + "0" * 64)
    for stated, found in (("s3://older", "s3://older"), ("", "pvc://modelpress-store")):
        record = Record(frozenset(), summary, stated)
        assert find_store(spec_of(body, "s3://newer"), record, BUCKET) == found
    assert find_store(spec_of(body, "s3://newer"), None, BUCKET) == "s3://newer"


def test_a_claim_is_mounted_and_a_bucket_is_named_with_its_secret():
    claim = render_access("pvc://mine/models/a.zip", BUCKET, read_only=True)
    assert claim == StoreAccess(
        "/store/models/a.zip",
        mounts=({"name": "store", "mountPath": "/store", "readOnly": True},),
        volumes=({"name": "store", "persistentVolumeClaim": {"claimName": "mine", "readOnly": True}},),
    )
    assert render_access("pvc://mine", Settings(), read_only=False).place == "/store"
    bucket = render_access("s3://models/a.zip", BUCKET, read_only=True)
    assert bucket == StoreAccess("s3://models/a.zip", ({"secretRef": {"name": "modelpress-s3"}},))
    assert render_access("s3://models/a.zip", Settings(), read_only=True) == StoreAccess("s3://models/a.zip")


def test_paths_are_joined_and_taken_apart():
    assert join_store("s3://models", "artifacts/a.zip") == "s3://models/artifacts/a.zip"
    assert split_claim(join_store("pvc://mine", "artifacts/a.zip")) == ("mine", "artifacts/a.zip")
    assert split_claim("s3://models/artifacts/a.zip") is None
    assert format_place("pvc://mine/a.zip") == "a.zip in the claim mine"
    assert format_place("s3://models/a.zip") == "s3://models/a.zip"


def test_a_lost_claim_must_be_deleted_first():
    assert "mine has lost its volume; delete it first. Make it" in format_missing_claim("mine", "Lost", "press")
    assert "mine does not exist. Make it" in format_missing_claim("mine", "Missing", "press")


def test_a_claim_that_is_made_as_told_is_found_by_the_labels_that_remove_it(repository):
    page = (repository / "docs/install.md").read_text(encoding="utf-8")
    (selector,) = re.findall(r"kubectl delete pvc --all-namespaces -l (\S+)", page)
    (body,) = re.findall(r"echo '(.+)' \|", format_missing_claim("mine", "Missing", "press"))
    labels = json.loads(body)["metadata"]["labels"]
    assert {f"{name}={value}" for name, value in labels.items()} == set(selector.split(","))


@pytest.mark.parametrize(
    ("message", "lacks"),
    [
        ('secret "modelpress-s3" not found', True),
        ('Error: secret "modelpress-s3" not found', True),
        ('secret "modelpress-s3-old" not found', False),
        ('secret "registry" not found', False),
        ("", False),
    ],
)
def test_only_the_stores_own_secret_is_missed(message, lacks):
    assert lacks_secret(BUCKET, message) is lacks
    assert not lacks_secret(Settings(), message)


def test_another_store_lets_a_failed_build_be_tried_anew_and_changes_no_recipe(body):
    model = parse_model(body)
    recipe = model.recipe()
    hashes = {hash_build(recipe, spec_of(body, uri), Settings()) for uri in ("", "s3://models", "pvc://mine")}
    assert len(hashes) == 3
    assert parse_model(body | {"spec": body["spec"] | {"store": {"uri": "s3://models"}}}).recipe() == recipe
    assert hash_build(recipe, model.spec, Settings()) == hash_build(
        recipe, spec_of(body, "pvc://modelpress-store"), Settings()
    )


def test_a_build_for_a_bucket_mounts_no_store_and_states_no_key(body):
    model = parse_model(body)
    job = render_job(model, "uid-1", model.recipe(), BUCKET, 0)
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert [each["name"] for each in spec["volumes"]] == ["tmp"]
    assert {"name": "MODELPRESS_STORE", "value": "s3://models/team"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "modelpress-s3"}}]
    assert job["metadata"]["annotations"][names.ANNOTATION_STORE] == "s3://models/team"


def test_a_model_goes_on_being_served_from_where_it_was_built_when_the_store_changes(body):
    cluster = ToyCluster(body, BUCKET)
    cluster.run()
    assert cluster.condition("Ready") == ("True", "Serving")
    uri = cluster.status["artifact"]["uri"]
    assert uri.startswith("s3://models/team/artifacts/")
    cluster.edit(store={"uri": "s3://elsewhere"})
    cluster.settings = Settings()
    cluster.run()
    assert (cluster.status["artifact"]["uri"], len(cluster.jobs)) == (uri, 1)
    assert cluster.condition("Ready") == ("True", "Serving")
