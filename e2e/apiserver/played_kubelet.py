# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204 - part of the tests beside it
"""A kubelet that knows logs and nothing else, so that an API server without nodes can be asked for them."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NODE = "played"


class PlayedKubelet:
    """`with PlayedKubelet(server) as kubelet:` makes a node of the API server whose logs are `kubelet.logs`.

    Attributes:
        logs: (pod, container) -> text.
        asked: paths, in order.
    """

    def __init__(self, server):
        self.logs, self.asked = {}, []
        self._server = server
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        pki = server.kubeconfig.parent / "pki"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))

    def __enter__(self):
        """Answer, and be a node."""
        self._thread.start()
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        made = self._server.kubectl("apply", "-f", "-", text=json.dumps(node))
        assert made.returncode == 0, made.stderr  # noqa: S101
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._http.server_port}},
        }
        patch = json.dumps({"status": status})
        told = self._server.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", patch)
        assert told.returncode == 0, told.stderr  # noqa: S101
        return self

    def __exit__(self, *_):
        """Be gone."""
        self._server.kubectl("delete", "node", NODE)
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def place(self, job):
        """The Job with its pod on this node."""
        template = job["spec"]["template"]
        spec = {**template["spec"], "nodeName": NODE}
        return {**job, "spec": {**job["spec"], "template": {**template, "spec": spec}}}


def _handler(kubelet):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            kubelet.asked.append(self.path)
            *_, pod, container = parts.path.split("/")
            found = kubelet.logs.get((pod, container))
            lines = (found or "").splitlines(keepends=True)
            tail = parse_qs(parts.query).get("tailLines")
            body = "".join(lines[-int(tail[0]) :] if tail else lines).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Quiet."""

    return Handler
