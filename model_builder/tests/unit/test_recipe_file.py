import pytest

from model_artifact.errors import InvalidRecipeError
from model_builder.recipe_file import read_recipe

YAML = """
compression: {alpha: 1.25, bits: 8}
training:
  architecture: SmallCNN
  dataset: Digits
  epochs: 3
"""
JSON = """
{"compression": {"alpha": 1.25, "bits": 8},
 "training": {"architecture": "SmallCNN", "dataset": "Digits", "epochs": 3}}
"""


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_yaml_and_json_give_the_same_recipe(suffix, tmp_path):
    (tmp_path / f"r{suffix}").write_text(YAML)
    (tmp_path / "r.json").write_text(JSON)
    assert read_recipe(tmp_path / f"r{suffix}") == read_recipe(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("compression: [", "r.yaml: not a YAML document"),
        ("!!python/object/apply:os.getcwd []", "r.yaml: not a YAML document"),
        ("compression: 2026-01-01", "holds what no recipe can hold"),
        ("compression: {alpha: .nan}", "holds what no recipe can hold"),
        ("compression: {alpha: 1}", "compression.bits: Field required"),
        ("", "r.yaml: "),
    ],
)
def test_what_is_no_recipe_is_one_sentence(text, words, tmp_path):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InvalidRecipeError, match=r"r\.yaml") as raised:
        read_recipe(tmp_path / "r.yaml")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_are_one_sentence(tmp_path):
    (tmp_path / "r.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRecipeError, match="not a text in UTF-8"):
        read_recipe(tmp_path / "r.json")


def test_examples_in_yaml_and_json_ask_for_what_their_names_say():
    from pathlib import Path

    folder = Path(__file__).parents[3] / "examples" / "recipes"
    recipes = {path.stem: read_recipe(path) for path in sorted(folder.iterdir())}
    assert len(recipes) == len(list(folder.iterdir())) >= 10
    for name, recipe in recipes.items():
        assert f"a{100 * recipe.compression.alpha:g}-b{recipe.compression.bits}" in name
        own = f"{recipe.training.network_name}-{recipe.training.task.lower()}-"
        ours = {"CNN": "cnn", "SmallCNN": "digits", "VGG16": "vgg16"}
        assert name.startswith(ours.get(recipe.training.architecture, own))
        assert ("strong" in name) == (recipe.training.recipe == "Strong")
        assert ("untrained" in name) == (recipe.training.epochs == 0)
