"""Writes the CRD and the API's reference page from the types; `--check` says whether the committed ones are current."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from model_operator import names
from model_operator.api.reference import render_reference
from model_operator.api.status import CompressedModelStatus
from model_operator.api.structural import Schema, render_structural_schema
from model_operator.api.v1alpha1 import CompressedModel
from model_operator.errors import GenerationError

CRD_FILE = f"crds/{names.PLURAL}.yaml"
CHART_CRD_FILE = f"charts/modelpress/crds/{names.PLURAL}.yaml"
REFERENCE_FILE = "docs/api.md"

_NOTICE = "generated from operator/src/model_operator/api; edit the types there and run make crds"
_LINE_LENGTH = 120
_READY = '.status.conditions[?(@.type=="Ready")]'
_KPIS = ".status.kpis"
_WIDE = 1
# Name, type, JSON path, what it is, and the priority of what is printed with -o wide only.
_PRINTER_COLUMNS = (
    ("READY", "string", f"{_READY}.status", "Whether what is wanted is what is served.", 0),
    ("ALPHA", "number", ".status.compression.alpha", "Pruning strength.", 0),
    ("BITS", "integer", ".status.compression.bits", "Bits of a weight's code.", 0),
    ("SIZE", "string", ".status.artifact.size", "Size of the artifact.", 0),
    ("RATIO", "number", ".status.artifact.ratio", "How many times smaller it is than its baseline.", 0),
    ("QUALITY", "number", ".status.artifact.quality.value", "Quality, by the metric of spec.objectives.quality.", 0),
    ("P95", "number", f"{_KPIS}.p95LatencyMilliseconds", "p95 latency in milliseconds.", 0),
    ("MCORES", "number", f"{_KPIS}.cpuMillicores", "Millicores that a pod uses.", 0),
    ("MIB", "number", f"{_KPIS}.memoryMebibytes", "MiB that a pod uses.", 0),
    ("REPLICAS", "integer", ".status.serving.replicas", "Pods that exist.", 0),
    ("AGE", "date", ".metadata.creationTimestamp", "Time since the model was created.", 0),
    ("RULE", "string", ".status.compression.rule", "How a weight becomes a code.", _WIDE),
    ("REVISION", "string", ".status.serving.revision", "The artifact that answers.", _WIDE),
    ("DIGEST", "string", ".status.artifact.digest", "Content digest of the artifact of the spec.", _WIDE),
    ("REASON", "string", f"{_READY}.reason", "Why it is ready or is not.", _WIDE),
)


def render_crd() -> Schema:
    """The CustomResourceDefinition (apiextensions.k8s.io/v1) of CompressedModel, with one version."""
    version = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_render_column(*column) for column in _PRINTER_COLUMNS],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.serving.replicas",
                "labelSelectorPath": ".status.serving.selector",
            },
        },
        "schema": {"openAPIV3Schema": _render_object_schema()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": names.CRD_NAME},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": names.LIST_KIND,
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
            },
            "versions": [version],
        },
    }


def _render_column(name: str, kind: str, path: str, description: str, priority: int) -> Schema:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


def _render_object_schema() -> Schema:
    """The schema of a whole object: the types', with the three fields that the API server itself defines."""
    schema = render_structural_schema(CompressedModel)
    envelope = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    own = {name: field for name, field in schema["properties"].items() if name not in envelope}
    # Until the operator has looked, a new object belongs to no generation: else kstatus takes it for done.
    status = render_structural_schema(CompressedModelStatus) | {"default": {"observedGeneration": -1}}
    properties = envelope | own | {"status": status}
    return schema | {"required": list(own), "properties": properties}


def render_files() -> dict[str, str]:
    """Every generated file: its path under the repository root, and its text."""
    crd = render_crd()
    text = yaml.safe_dump(crd, sort_keys=False, width=_LINE_LENGTH, allow_unicode=True)
    definition = f"# {_NOTICE}\n{text}"
    return {
        CRD_FILE: definition,
        CHART_CRD_FILE: definition,
        REFERENCE_FILE: f"<!-- {_NOTICE} -->\n{render_reference(crd)}",
    }


def read_outdated_files(root: Path) -> list[str]:
    """The generated files under `root` that are missing or differ from what the types give now."""
    return [path for path, text in render_files().items() if _read_text(root / path) != text]


def write_files(root: Path) -> None:
    """Bring every generated file under `root` up to date.

    Raises:
        GenerationError: `root` has not the folders of this repository; nothing is written then.
    """
    files = render_files()
    for folder in sorted({(root / path).parent for path in files}):
        if not folder.is_dir():
            raise GenerationError(f"there is no folder {folder}; name the repository's root with --root")
    for path, text in files.items():
        (root / path).write_text(text, encoding="utf-8")


def _read_text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated files.

    Returns:
        0 when they are current, 1 when they are not or cannot be written; standard error then says what to do.
    """
    parser = argparse.ArgumentParser(prog="python -m model_operator.api.crd", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: this folder)")
    options = parser.parse_args(arguments)
    if options.check:
        outdated = read_outdated_files(options.root)
        for path in outdated:
            print(f"{path} is not what the API's types give; run make crds and commit it", file=sys.stderr)
        return 1 if outdated else 0
    try:
        write_files(options.root)
    except GenerationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
