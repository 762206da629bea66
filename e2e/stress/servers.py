"""The servers of the stress: one in plain text, and one with TLS for clients that show a certificate."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import grpc
from first_answer import answers
from loopback import free_ports

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "model_server" / "tests" / "data" / "half_plus_two"
START_SECONDS = 60.0
STOP_SECONDS = 60.0
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # The certificate's name, also over the socket file, which has none.
    ("grpc.ssl_target_name_override", "localhost"),
    # Connections of its own for each channel.
    ("grpc.use_local_subchannel_pool", 1),
)


def add_version(scratch: Path, version: int) -> None:
    """A version that appears whole."""
    shutil.copytree(MODEL, scratch / "incoming")
    (scratch / "models").mkdir(exist_ok=True)
    (scratch / "incoming").rename(scratch / "models" / str(version))


class Tls:
    """Keys and certificates of a server and of a client, each of which vouches for itself."""

    def __init__(self, folder: Path) -> None:
        self._pairs = {name: _write_pair(folder, name) for name in ("server", "client")}
        key, certificate = self._pairs["server"]
        fields = {"server_key": key, "server_cert": certificate, "custom_ca": self._pairs["client"][1]}
        lines = [f"{name}: {json.dumps(value.decode())}" for name, value in fields.items()]
        self.config = folder / "tls.txt"
        self.config.write_text("\n".join([*lines, "client_verify: true"]))

    def client_credentials(self, *, with_certificate: bool = True) -> grpc.ChannelCredentials:
        """Those of a client that the server lets in, or of one without a certificate."""
        key, certificate = self._pairs["client"] if with_certificate else (None, None)
        return grpc.ssl_channel_credentials(self._pairs["server"][1], key, certificate)


def _write_pair(folder: Path, name: str) -> tuple[bytes, bytes]:
    files = [folder / f"{name}.key", folder / f"{name}.crt"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", files[0], "-out", files[1]),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return files[0].read_bytes(), files[1].read_bytes()


class Server:
    """One server process of the models below the scratch folder; with TLS it listens on a socket file as well."""

    def __init__(self, scratch: Path, name: str, tls: Tls | None = None) -> None:
        self.name = name
        self.tls = tls
        self.grpc_port, self.rest_port = free_ports(2)
        self.log = scratch / f"{name}.log"
        self.addresses = [f"{HOST}:{self.grpc_port}"]
        flags: list[str] = []
        if tls is not None:
            self.addresses.append(f"unix:{scratch / 'grpc.socket'}")
            flags = [f"--ssl_config_file={tls.config}", f"--grpc_socket_path={scratch / 'grpc.socket'}"]
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "model_server", f"--bind_address={HOST}", "--model_name=m"),
                    *(f"--port={self.grpc_port}", f"--rest_api_port={self.rest_port}"),
                    *(f"--model_base_path={scratch / 'models'}", *flags),
                ],
                stdout=stream,
                stderr=stream,
            )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def channel(self, number: int = 0, *, with_certificate: bool = True) -> grpc.Channel:
        """A new connection to the port, or with an odd number to the socket file where there is one."""
        address = self.addresses[number % len(self.addresses)]
        if self.tls is None:
            return grpc.insecure_channel(address, _CHANNEL_OPTIONS)
        return grpc.secure_channel(
            address, self.tls.client_credentials(with_certificate=with_certificate), _CHANNEL_OPTIONS
        )

    def wait_ready(self) -> None:
        """Until it answers.

        Raises:
            RuntimeError: It does not.
        """
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if not self.alive or time.monotonic() > deadline:
                raise RuntimeError(f"the {self.name} server did not start: {self.log.read_text()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether it says so."""
        return answers(f"http://{HOST}:{self.rest_port}/readyz", timeout_seconds=60)

    def serves_only(self, version: int, log_bytes: int) -> bool:
        """Whether its log says so, from this size on: this version came, and one went after that."""
        with self.log.open(encoding="utf-8", errors="replace") as log:
            log.seek(log_bytes)
            _, came, after = log.read().partition(f"m version {version} is AVAILABLE")
        return bool(came) and "is unloaded" in after

    def read_memory(self, field: str = "VmRSS") -> float:
        """What is resident now in MiB, or by VmHWM what was at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split(f"{field}:")[1].split()[0]) / 1024

    def judge(self) -> list[str]:
        """End it; what it should still have been and was not: alive, ready, without a fault in its log, obedient."""
        problems = []
        if not self.alive:
            problems.append(f"the {self.name} server ended with {self.process.returncode}")
        elif not self.is_ready():
            problems.append(f"the {self.name} server is not ready any more")
        elif (status := self.stop()) != 0:
            problems.append(f"the {self.name} server ended with {status} on SIGTERM")
        text = self.log.read_text(errors="replace")
        if faults := text.count("Traceback"):
            first = text[text.index("Traceback") :][:1500]
            problems.append(f"{faults} faults in the {self.name} server's log, the first: {first}")
        return problems

    def stop(self) -> int:
        """Its exit status on SIGTERM."""
        if self.alive:
            self.process.terminate()
        return self.process.wait(STOP_SECONDS)
