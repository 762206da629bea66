"""The programs of a node: their commands and configuration files. Pure: places in, text out."""

from cluster.places import (
    DNS_SERVICE_ADDRESS,
    NODE_ADDRESS,
    NODE_NAME,
    POD_RANGE,
    SERVICE_RANGE,
    Places,
)

CONTROL_PLANE = ("etcd", "kube-apiserver")
API_PORT = 6443

ADMISSION = """apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: restricted, enforce-version: latest, warn: restricted, warn-version: latest}
    exemptions: {namespaces: [kube-system]}
"""


def render_files(places: Places) -> dict[str, str]:
    """Every configuration file by its name in the state folder."""
    return {
        "admission.yaml": ADMISSION,
        "containerd.toml": _render_containerd(places),
        "net.d/10-bridge.conflist": _render_bridge(places),
        "kubelet.yaml": _render_kubelet(places),
        "proxy.yaml": _render_proxy(places),
        "Corefile": _render_corefile(places),
    }


def render_etcd(places: Places, client_port: int = 2379, peer_port: int = 2380) -> list[str]:
    """The store on loopback; it need not survive a power cut, so it does not wait for the disk."""
    client = f"http://127.0.0.1:{client_port}"
    peer = f"http://127.0.0.1:{peer_port}"
    return [
        places.program("etcd"),
        f"--data-dir={places.state}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def render_apiserver(places: Places, port: int = API_PORT, etcd_port: int = 2379) -> list[str]:
    """kube-apiserver with Node and RBAC authorisation, NodeRestriction and restricted Pod Security."""
    pki = places.pki
    return [
        places.program("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--secure-port={port}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--admission-control-config-file={places.state}/admission.yaml",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--enable-aggregator-routing=true",
    ]


def render_node_commands(places: Places) -> dict[str, list[str]]:
    """The commands of the whole node by name, in the order in which they are started."""
    pki, state = places.pki, places.state
    advertised = [f"--advertise-address={NODE_ADDRESS}"]
    inside = {
        "etcd": render_etcd(places),
        "kube-apiserver": render_apiserver(places) + advertised,
        "kube-controller-manager": [
            places.program("kube-controller-manager"),
            f"--kubeconfig={state}/controllers.kubeconfig",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-downscale-stabilization=30s",
        ],
        "kube-scheduler": [
            places.program("kube-scheduler"),
            f"--kubeconfig={state}/scheduler.kubeconfig",
            "--leader-elect=false",
        ],
        "containerd": ["containerd", "--config", f"{state}/containerd.toml"],
        "kubelet": [
            places.program("kubelet"),
            f"--config={state}/kubelet.yaml",
            f"--kubeconfig={state}/node.kubeconfig",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={NODE_ADDRESS}",
            f"--root-dir={state}/kubelet",
            # without it cAdvisor looks for the default socket and its metrics have no container label
            f"--containerd={places.containerd_socket}",
        ],
        "kube-proxy": [places.program("kube-proxy"), f"--config={state}/proxy.yaml"],
        "coredns": [places.program("coredns"), "-conf", f"{state}/Corefile"],
        "metrics-server": [
            places.program("metrics-server"),
            f"--kubeconfig={places.inner_kubeconfig}",
            f"--authentication-kubeconfig={places.inner_kubeconfig}",
            f"--authorization-kubeconfig={places.inner_kubeconfig}",
            "--secure-port=4443",
            f"--cert-dir={state}/metrics-server",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
        ],
        "loopback-inner": _socat(f"UNIX-LISTEN:{places.sockets}/api.sock,unlink-early", f"TCP:127.0.0.1:{API_PORT}"),
    }
    commands = {name: [*places.enter(), *command] for name, command in inside.items()}
    outer = f"TCP-LISTEN:{places.port},bind=127.0.0.1,reuseaddr"
    return {**commands, "loopback-outer": _socat(outer, f"UNIX-CONNECT:{places.sockets}/api.sock")}


def _socat(listen: str, connect: str) -> list[str]:
    return ["socat", f"{listen},fork", connect]


def _render_containerd(places: Places) -> str:
    return f"""version = 2
root = "{places.state}/containerd/root"
state = "{places.sockets}/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{places.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{places.state}/net.d"
"""


def _render_bridge(places: Places) -> str:
    return f"""{{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
      "ipam": {{"type": "host-local", "dataDir": "{places.state}/ipam", "ranges": [[{{"subnet": "{POD_RANGE}"}}]],
        "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
    {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
  ]
}}
"""


def _render_kubelet(places: Places) -> str:
    return f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  x509: {{clientCAFile: {places.pki}/ca.crt}}
  webhook: {{enabled: true}}
  anonymous: {{enabled: false}}
authorization: {{mode: Webhook}}
clusterDNS: [{DNS_SERVICE_ADDRESS}]
clusterDomain: cluster.local
cgroupDriver: cgroupfs
cgroupRoot: /{places.namespace}
failSwapOn: false
containerRuntimeEndpoint: unix://{places.containerd_socket}
resolvConf: ""
evictionHard: {{memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}}
imageGCHighThresholdPercent: 100
shutdownGracePeriod: 0s
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
volumePluginDir: {places.state}/volume-plugins
podLogsDir: {places.state}/pod-logs
tlsCertFile: {places.pki}/node.crt
tlsPrivateKeyFile: {places.pki}/node.key
"""


def _render_proxy(places: Places) -> str:
    return f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: {POD_RANGE}
clientConnection: {{kubeconfig: {places.state}/proxy.kubeconfig}}
conntrack: {{maxPerCore: 0, min: 0}}
hostnameOverride: {NODE_NAME}
"""


def _render_corefile(places: Places) -> str:
    return f""".:53 {{
  bind {NODE_ADDRESS}
  errors
  health 127.0.0.1:8080
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {places.inner_kubeconfig}
    pods insecure
  }}
  cache 5
}}
"""
