from pathlib import Path

import pytest
from google.protobuf import text_format

from model_server._protos.tensorflow_serving.config import model_server_config_pb2
from model_server.errors import FailedPreconditionError, InvalidArgumentError, StartupError
from model_server.model_config import ModelConfig, ModelList, plan_models
from model_server.versions import VersionPolicy

SINGLE = ModelConfig("m", "/models/m")


def parse(text):
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def entry(text):
    return parse(f"model_config_list {{ config {{ {text} }} }}")


def test_policies_and_labels_are_read():
    policies = {
        "": VersionPolicy("latest", count=1),
        "model_version_policy { latest { num_versions: 3 } }": VersionPolicy("latest", count=3),
        "model_version_policy { all {} }": VersionPolicy("all"),
        "model_version_policy { specific { versions: 4 versions: 2 } }": VersionPolicy(
            "specific", versions=frozenset({2, 4})
        ),
    }
    for text, policy in policies.items():
        labels = 'version_labels { key: "stable" value: 4 }'
        config = entry(f'name: "m" base_path: "/models/m" model_platform: "tensorflow" {text} {labels}')
        assert plan_models(config) == (ModelConfig("m", "/models/m", policy, {"stable": 4}),)


def test_paths_may_be_uris_and_platforms_old_numbers():
    config = entry('name: "m" base_path: "s3://bucket/m.zip" model_type: TENSORFLOW')
    assert plan_models(config) == (ModelConfig("m", "s3://bucket/m.zip"),)


def test_same_name_twice_is_refused():
    one = 'config { name: "m" base_path: "/m" model_platform: "tensorflow" }'
    with pytest.raises(InvalidArgumentError, match=r"^Illegal to list model m multiple times in config list$"):
        plan_models(parse(f"model_config_list {{ {one} {one} }}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'base_path: "m" model_platform: "tensorflow"',
            r"^Expected model m to have an absolute path or URI; got base_path\(\)=m$",
        ),
        ('base_path: "/m"', "^Illegal setting neither ModelServerConfig::model_type"),
        ('base_path: "/m" model_type: TENSORFLOW model_platform: "tensorflow"', "^Illegal setting both"),
        ('base_path: "/m" model_type: OTHER', "^ModelServerConfig::model_type choice 2 not supported.$"),
        ('base_path: "/m" model_platform: "caffe"', "^Model m requests unsupported platform caffe$"),
    ],
)
def test_what_cannot_be_served_is_refused(text, message):
    with pytest.raises(InvalidArgumentError, match=message):
        plan_models(entry(f'name: "m" {text}'))


def test_custom_config_is_refused():
    config = parse('custom_model_config { type_url: "x" }')
    with pytest.raises(FailedPreconditionError, match=r"^Cannot transition to requested config. It is only legal"):
        plan_models(config)


def test_flags_name_one_model_where_there_is_no_file():
    assert ModelList(SINGLE).load() == (SINGLE,)


def test_file_overrides_the_flags(tmp_path: Path):
    file = tmp_path / "models.txt"
    file.write_text('model_config_list { config { name: "n" base_path: "/n" model_platform: "tensorflow" } }')
    assert ModelList(SINGLE, file).load() == (ModelConfig("n", "/n"),)
    file.write_text("")
    assert ModelList(SINGLE, file).load() is None
    file.write_text("model_config_list {}")
    assert ModelList(SINGLE, file).load() == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model_config_lists {}",
            "^Error parsing text-format tensorflow.serving.ModelServerConfig: .*model_config_list",
        ),
        ("model_config_list { config {", "^Error parsing text-format tensorflow.serving.ModelServerConfig: "),
        ('model_config_list { config { name: "m" base_path: "/m" } }', "cannot be served: Illegal setting neither"),
    ],
)
def test_file_that_is_wrong_says_where(tmp_path: Path, text, message):
    file = tmp_path / "models.txt"
    file.write_text(text)
    with pytest.raises(StartupError, match=message) as error:
        ModelList(SINGLE, file).load()
    assert f"--model_config_file={file}" in str(error.value)


def test_file_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(StartupError, match=f"^--model_config_file={tmp_path}/none cannot be read: "):
        ModelList(SINGLE, tmp_path / "none").load()
