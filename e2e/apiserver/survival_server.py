# ruff: noqa: S101 - part of the tests beside it
"""An API server that knows our CRD, collects garbage, deletes namespaces, and can be ended and begun again."""

import json
import time
from pathlib import Path
from typing import Self

import yaml
from cluster.apiserver import READY_SECONDS, ApiServer
from loopback import HOST, free_ports
from operator_play import ROOT, render_rights, write_operator_kubeconfig

CRD = ROOT / "crds" / "compressedmodels.yaml"
_CONTROLLERS = "garbage-collector-controller,namespace-controller"


class SurvivalServer(ApiServer):
    """`with SurvivalServer(binaries, folder) as server:` runs it until the block ends."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        """Keep the operator's kubeconfig in the folder."""
        super().__init__(binaries)
        self._folder = folder
        self._commands: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        """Start it, with the CRD of this checkout and an account that has the chart's rights."""
        super().__enter__()
        self.apply_crd(CRD.read_text())
        self.operator_kubeconfig = write_operator_kubeconfig(self, self._folder)
        program = str(Path(self._commands["kube-apiserver"][0]).with_name("kube-controller-manager"))
        (port,) = free_ports(1)
        flags = [f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", f"--controllers={_CONTROLLERS}"]
        self._start("kube-controller-manager", [program, *flags, f"--bind-address={HOST}", f"--secure-port={port}"])
        return self

    @property
    def token(self) -> str:
        """Of the operator's service account."""
        token: str = yaml.safe_load(self.operator_kubeconfig.read_text())["users"][0]["user"]["token"]
        return token

    def make_token(self) -> str:
        """Another token of the operator's service account."""
        made = self.kubectl("create", "token", "modelpress-operator", "-n", "default", "--duration=1h")
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def grant(self, rules: Path, name: str) -> None:
        """Give the operator's service account the rights of another chart as well."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(render_rights(name, rules))}
        applied = self.kubectl("apply", "-f", "-", text=json.dumps(items))
        assert applied.returncode == 0, applied.stderr

    def end(self, name: str) -> None:
        """End one of its programs."""
        self.processes.stop(name)

    def begin_again(self, name: str) -> None:
        """Start a program that was ended, and wait until the server is ready."""
        self.processes.start(name, self._commands[name])
        self._wait_until_ready(time.monotonic() + READY_SECONDS)

    def _start(self, name: str, command: list[str]) -> None:
        self._commands[name] = command
        super()._start(name, command)
