"""The node with its images, the namespaces, the volumes, and the chart."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.client import Client
from cluster.images import import_image
from cluster.node import Node
from cluster.places import NODE_NAME, Places
from images.building import archive_path
from stages import say

from model_artifact.archive_reader import ArchiveReader
from model_artifact.manifest_reader import read_manifest

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "modelpress"
RELEASE = "modelpress"
SYSTEM_NAMESPACE = "modelpress-system"
STORE_CLAIM = "modelpress-store"
DATA_CLAIM = "modelpress-data"
SERVICE_USER = 65532


def place_artifact(store: Path, artifact: Path) -> dict[str, str]:
    """Copy an artifact into the folder behind the store's claim, as the builder would name it there.

    Builds, which are no root, go on writing beside it.

    Returns:
        `uri` and `digest` for `spec.source.artifact`.
    """
    with ArchiveReader(artifact) as archive:
        digest = read_manifest(archive).digest
    target = store / "artifacts" / f"{digest.removeprefix('sha256:')}.zip"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.chown(target.parent, SERVICE_USER, SERVICE_USER)
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(artifact, partial)
        partial.chmod(0o644)
        partial.rename(target)
    return {"uri": f"pvc://{STORE_CLAIM}/artifacts/{target.name}", "digest": digest}


@dataclass(frozen=True)
class Installation:
    """One node with the operator on it.

    Attributes:
        node: where it runs.
        namespace: where the models are.
        folder: what outlives the node: the store's artifacts, and the data.
    """

    node: Node
    namespace: str
    folder: Path

    @property
    def client(self) -> Client:
        """The programs kubectl and helm for it."""
        places = self.node.places
        return Client(places.binaries, places.kubeconfig)

    def load_images(self, names: Mapping[str, str]) -> None:
        """Make the images known to the node, those that it does not know yet."""
        known = self._known_images()
        for target, name in names.items():
            if name in known:
                continue
            archive = archive_path(target)
            say(f"importing {name} ({archive.stat().st_size / 1e6:.0f} MB)")
            import_image(self.node.places, archive)

    def _known_images(self) -> set[str]:
        places: Places = self.node.places
        command = ["ctr", "--address", str(places.containerd_socket), "--namespace", "k8s.io", "images", "list", "-q"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True)
        return set(listed.stdout.split())

    def make_namespaces(self) -> None:
        """The operator's and the models'."""
        for name in (SYSTEM_NAMESPACE, self.namespace):
            self.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            self.client.kubectl("wait", "-n", name, "--for=create", "serviceaccount/default", "--timeout=30s")

    def make_store_volume(self) -> None:
        """A volume for the store's claim in a folder that outlives the node: a known recipe is then not built again."""
        self._make_volume("store", STORE_CLAIM)

    def place_artifact(self, artifact: Path) -> dict[str, str]:
        """See `place_artifact`."""
        return place_artifact(self.folder / "store", artifact)

    def provide_data(self, source: Path) -> None:
        """A claim that holds a copy of the data set's folder."""
        target = self.folder / "data" / source.name
        if not target.exists():
            partial = target.with_name(f".{source.name}")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial)
            partial.rename(target)
        self._make_volume("data", DATA_CLAIM)
        self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": DATA_CLAIM, "namespace": self.namespace},
                "spec": {
                    "accessModes": ["ReadWriteMany"],
                    "storageClassName": self._volume_class("data"),
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        )

    def _volume_class(self, name: str) -> str:
        return f"{self.namespace}-{name}"

    def _make_volume(self, name: str, claim: str) -> None:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        affinity = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
        self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": self._volume_class(name)},
                "spec": {
                    "capacity": {"storage": "20Gi"},
                    "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": self._volume_class(name),
                    "claimRef": {"namespace": self.namespace, "name": claim},
                    "local": {"path": str(folder.resolve())},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [affinity]}]}},
                },
            }
        )

    def install_chart(self, images: Mapping[str, str], extra: Mapping[str, Any] | None = None) -> None:
        """`helm upgrade --install`, and wait until the operator and Prometheus are ready."""
        values = {**self.render_values(images), **(extra or {})}
        # a tag that is all digits must stay a text
        settings = [f"--set{'-string' if key.endswith('.tag') else ''}={key}={value}" for key, value in values.items()]
        self.client.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
        self.client.helm(
            "upgrade",
            "--install",
            RELEASE,
            str(CHART),
            "--namespace",
            SYSTEM_NAMESPACE,
            "--wait",
            "--timeout=180s",
            *settings,
        )

    def render_values(self, images: Mapping[str, str]) -> dict[str, Any]:
        """The chart's values on this node."""
        values: dict[str, Any] = {}
        for part, target in (
            ("operator", "operator"),
            ("builder", "builder"),
            ("server", "server"),
            ("unpack", "server"),
        ):
            repository, tag = images[target].rsplit(":", 1)
            values |= {f"images.{part}.repository": repository, f"images.{part}.tag": tag}
        repository, tag = images["prometheus"].rsplit(":", 1)
        return values | {
            "images.pullPolicy": "Never",
            "store.storageClassName": self._volume_class("store"),
            "store.namespaces": f"{{{self.namespace}}}",
            "prometheus.enabled": "true",
            "prometheus.image.repository": repository,
            "prometheus.image.tag": tag,
        }
