import json
from pathlib import Path

import pytest

from model_artifact.__main__ import main
from model_artifact.documents import DiffDocument, InspectDocument
from model_artifact.packing import pack
from model_artifact.schemas import main as write_schemas
from model_artifact.schemas import render_schemas

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_schemas_are_those_of_the_types(tmp_path):
    assert write_schemas([str(tmp_path)]) == 0
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in SCHEMAS.iterdir()}
    assert written == committed, "run .venv/bin/python -m model_artifact.schemas docs/schemas"


def test_what_is_printed_has_the_fields_of_its_schema(version_folder, tmp_path, capsys):
    pack(version_folder, tmp_path / "a.zip")
    main(["inspect", str(tmp_path / "a.zip"), "--json"])
    printed = capsys.readouterr().out
    schema = json.loads(render_schemas()["inspect.schema.json"])
    document = json.loads(printed)
    assert document.keys() == schema["properties"].keys() == set(schema["required"])
    tensor = schema["$defs"]["TensorDocument"]
    assert document["tensors"][0].keys() == tensor["properties"].keys()
    assert InspectDocument.model_validate_json(printed).tensors[0].shape == (200, 300)


@pytest.mark.parametrize("name", ["inspect.schema.json", "diff.schema.json"])
def test_a_schema_stands_on_its_own(name):
    text = render_schemas()[name]
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    definitions = json.loads(text)["$defs"]
    assert references
    assert {reference.removeprefix("#/$defs/") for reference in references} <= definitions.keys()


def test_a_difference_reads_back(version_folder, tmp_path, capsys):
    pack(version_folder, tmp_path / "a.zip")
    assert main(["diff", str(tmp_path / "a.zip"), str(tmp_path / "a.zip"), "--json"]) == 0
    assert DiffDocument.model_validate_json(capsys.readouterr().out).same
