"""The names under which Kubernetes knows our API, and what a model may be called. Pure constants."""

from typing import Final

GROUP: Final = "modelpress.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

KIND: Final = "CompressedModel"
LIST_KIND: Final = f"{KIND}List"
PLURAL: Final = "compressedmodels"
SINGULAR: Final = "compressedmodel"
SHORT_NAME: Final = "cmod"
CRD_NAME: Final = f"{PLURAL}.{GROUP}"

# 63 characters are a DNS label's; the other 18 are left to the suffixes of objects that are named after the model.
LARGEST_MODEL_NAME_LENGTH: Final = 45
# A Service's name must begin with a letter, so a model's does. RE2 (CEL) and Python read this pattern alike.
MODEL_NAME_PATTERN: Final = "^[a-z]([-a-z0-9]*[a-z0-9])?$"

FIELD_MANAGER: Final = "modelpress"

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "modelpress"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MODEL: Final = f"{GROUP}/model"
"""On everything that is made for one model."""
LABEL_RECIPE: Final = f"{GROUP}/recipe"
"""On build Jobs, their pods and records: the first 32 hexadecimal digits of the recipe's digest."""
LABEL_BUILD: Final = f"{GROUP}/build"
"""On build Jobs: which build settings (image, resources, …) they were made with, so that a change allows a new try."""
ANNOTATION_ATTEMPT: Final = f"{GROUP}/attempt"
ANNOTATION_RECIPE_DIGEST: Final = f"{GROUP}/recipe-digest"
ANNOTATION_REVISION: Final = f"{GROUP}/revision"
"""On the Deployment and its pods: content digest of the artifact they serve."""
ANNOTATION_ARTIFACT: Final = f"{GROUP}/artifact"
"""On the Deployment: URI of the artifact it serves, so that its other fields can change while the next one builds."""
ANNOTATION_STORE: Final = f"{GROUP}/store"
"""On build Jobs and records: URI of the store that holds what was built."""
ANNOTATION_PUBLIC_KEYS: Final = f"{GROUP}/public-keys"
"""On its pods: the keys of which one must have signed the artifact, in PEM, which a pod reads as a file."""
ANNOTATION_MONITORING: Final = f"{GROUP}/monitoring-config"
"""On its pods: TensorFlow Serving's monitoring configuration, which a pod reads as a file."""
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"
"""On everything applied: hash of what was applied, so that a field that we no longer state is noticed."""

COMPONENT_SERVER: Final = "server"
COMPONENT_BUILD: Final = "build"
COMPONENT_BUILD_LOG: Final = "build-log"
COMPONENT_STORE: Final = "store"
"""Of the claims that hold artifacts, as the chart labels its own: docs/install.md removes them by it."""
LOG_KEY: Final = "log.txt"
"""Where the ConfigMap of a failed build keeps the end of its log."""
SERVER_CONTAINER: Final = "server"
UNPACK_CONTAINER: Final = "unpack"
BUILD_CONTAINER: Final = "build"

HTTP_PORT: Final = 8501
GRPC_PORT: Final = 8500
METRICS_PATH: Final = "/monitoring/prometheus/metrics"


def short_digest(digest: str, length: int = 12) -> str:
    """The first hexadecimal digits of `sha256:…`."""
    return digest.removeprefix("sha256:")[:length]


def build_job_name(recipe_digest: str, build_hash: str, attempt: int) -> str:
    """Name of the Job that builds a recipe with these settings, for the attempt (from 0)."""
    return f"build-{short_digest(recipe_digest)}-{build_hash}-{attempt}"


def build_log_name(job: str) -> str:
    """Name of the ConfigMap that keeps the end of a failed build's log."""
    return f"{job}-log"


def record_name(recipe_digest: str) -> str:
    """Name of the ConfigMap that records what a recipe's build gave."""
    return f"artifact-{short_digest(recipe_digest, 32)}"
