"""The committed CRD on a real API server: what it accepts, what it refuses in which words, and what it shows."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from model_operator.api.v1alpha1 import parse_model
from model_operator.errors import InvalidModelError

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "crds" / "compressedmodels.yaml"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
ARTIFACT = {"uri": "pvc://store/artifacts/a.zip", "digest": "sha256:" + "0" * 64}
OWN = {"uri": "s3://models/own.keras", "dataset": {"uri": "pvc://sets/own.npz"}}
STATUS = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "reason": "Building",
            "message": "Epoch 1 of 50.",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
            "observedGeneration": 1,
        }
    ],
    "artifact": {
        **ARTIFACT,
        "sizeBytes": 854_106,
        "size": "854kB",
        "baselineSizeBytes": 8_480_000,
        "ratio": 9.93,
        "bitsPerWeight": 2.35,
        "entropyBitsPerWeight": 2.33,
        "sparsityPercent": 74.2,
        "trained": True,
        "quality": {"metric": "Accuracy", "value": 71.5, "measures": {"Accuracy": 71.5, "F1": 70.9}},
    },
    "serving": {
        "revision": "81f03c362b1a",
        "replicas": 2,
        "readyReplicas": 2,
        "selector": "modelpress.dev/model=cnn",
        "http": "cnn:8501",
        "grpc": "cnn:8500",
    },
    "kpis": {
        "p95LatencyMilliseconds": 2.47,
        "cpuMillicores": 118,
        "memoryMebibytes": 85.9,
        "window": "2m",
        "measuredAt": "2026-01-02T03:04:05Z",
    },
}


@pytest.fixture
def kubectl(crd_server, api_namespace):
    """Runs kubectl in the test's namespace; what it printed, where it has to succeed."""

    def run(*arguments, text=""):
        done = crd_server.kubectl("-n", api_namespace, *arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def refuse(crd_server):
    """Tries to create an object that must be refused: what kubectl said."""
    namespace = "refused"
    assert crd_server.kubectl("create", "namespace", namespace).returncode == 0

    def run(body):
        done = crd_server.kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps(body))
        assert done.returncode != 0, done.stdout
        return done.stderr

    yield run
    crd_server.kubectl("delete", "namespace", namespace, "--wait=false")


def model(name="cnn", **fields):
    """A small good model with changed fields; a name's double underscores are the path below spec, None removes."""
    training = {"architecture": "CNN", "dataset": "CIFAR10"}
    spec = {"compression": {"alpha": 1.25, "bits": 8}, "source": {"training": training}}
    for path, value in copy.deepcopy(fields).items():
        *parents, last = path.split("__")
        node = spec
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
        if value is None:
            del node[last]
    return {
        "apiVersion": "modelpress.dev/v1alpha1",
        "kind": "CompressedModel",
        "metadata": {"name": name},
        "spec": spec,
    }


def read(kubectl, name="cnn"):
    return json.loads(kubectl("get", "cmod", name, "-o", "json"))


def test_the_server_is_ready_in_seconds(api_server):
    assert api_server.seconds_to_ready < 30  # a hang, not a benchmark: docs/cluster.md has the measured figure


def contains(whole, part):
    """Whether `whole` has every field of `part`, at every depth."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return whole == part


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_accepted_as_it_is(path, kubectl):
    kubectl("apply", "-f", str(path))
    stored = read(kubectl, path.stem)
    asked = yaml.safe_load(path.read_text())["spec"]
    assert contains(stored["spec"], asked), stored["spec"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_server_fills_in_the_defaults_that_the_types_have(path, kubectl):
    kubectl("apply", "-f", str(path))
    stored = read(kubectl, path.stem)
    assert parse_model(stored).spec == parse_model(yaml.safe_load(path.read_text())).spec


def test_defaults_are_stored_and_nothing_empty_is(kubectl):
    kubectl("apply", "-f", "-", text=json.dumps(model()))
    assert read(kubectl)["spec"] == {
        "compression": {"alpha": 1.25, "bits": 8, "rule": "Floor", "frequency": "Step"},
        "source": {
            "training": {
                "task": "Classification",
                "architecture": "CNN",
                "dataset": "CIFAR10",
                "epochs": 50,
                "batchSize": 64,
                "learningRate": 0.05,
                "learningRateSchedule": "Constant",
                "momentum": 0.9,
                "seed": 0,
                "recipe": "Published",
                "validationImages": 0,
                "keep": "Last",
                "precision": "Float32",
            }
        },
        "build": {"timeoutSeconds": 86_400, "retries": 2},
        "serving": {"precision": "Auto"},
        "replicas": 1,
        "objectives": {"window": "5m"},
        "rollout": {"strategy": "Rolling"},
        "suspend": False,
    }


def test_an_empty_autoscaling_gets_its_defaults(kubectl):
    kubectl("apply", "-f", "-", text=json.dumps(model(autoscaling={})))
    assert read(kubectl)["spec"]["autoscaling"] == {
        "minReplicas": 1,
        "maxReplicas": 5,
        "targetCPUUtilizationPercentage": 70,
    }


def test_every_field_of_a_build_is_kept_as_it_is(kubectl):
    fields = {
        "compression": {
            "alpha": 1,
            "bits": 4,
            "rule": "Shadow",
            "granularity": "Channel",
            "ramp": 0.75,
            "freeze": 0.25,
            "channelSparsity": 0.5,
            "firstAndLastLayers": "Dense",
        },
        "source__training__recipe": "Strong",
        "source__training__precision": "BFloat16",
        "source__training__patience": 3,
        "source__training__keep": "Best",
        "source__training__validationImages": 5000,
        "build": {"priorityClassName": "batch-low", "resources": {"limits": {"nvidia.com/gpu": 1}}},
    }
    asked = model(**fields)
    kubectl("apply", "-f", "-", text=json.dumps(asked))
    stored = read(kubectl)
    assert contains(stored["spec"], asked["spec"]), stored["spec"]
    assert parse_model(stored).recipe() == parse_model(asked).recipe()


@pytest.mark.parametrize("task", ["Classification", "Regression", "Segmentation"])
def test_a_model_of_ones_own_is_kept_as_it_is(task, kubectl):
    own = OWN | {"task": task, "digest": "sha256:" + "1" * 64, "epochs": 3, "keep": "Best"}
    quality = (
        {"metric": "MeanSquaredError", "maximum": 2.5} if task == "Regression" else {"metric": "F1", "minimum": 80}
    )
    asked = model(source={"model": own}, objectives__quality=quality)
    kubectl("apply", "-f", "-", text=json.dumps(asked))
    stored = read(kubectl)
    assert contains(stored["spec"], asked["spec"]), stored["spec"]
    assert parse_model(stored).recipe() == parse_model(asked).recipe()


def test_what_kubernetes_defines_is_kept_as_it_is(kubectl):
    fields = {
        "serving": {
            "resources": {"requests": {"cpu": 1, "memory": "128Mi"}, "limits": {"example.com/chip": "2"}},
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "tolerations": [{"key": "lent", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
        },
        "autoscaling__metrics": [{"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"averageValue": 3}}}],
        "autoscaling__behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}},
    }
    asked = model(**fields)
    kubectl("apply", "-f", "-", text=json.dumps(asked))
    stored = read(kubectl)
    assert contains(stored["spec"], asked["spec"]), stored["spec"]
    assert parse_model(stored).spec == parse_model(asked).spec


# Fields of `model`, and the sentence in which both the API server and the types refuse them.
SHADOW_ONLY = (
    "granularity must be left out, and so must ramp, freeze, channelSparsity and firstAndLastLayers, where rule is not"
    " Shadow"
)
BROKEN_RULES = [
    ({"compression__alpha": -1}, "alpha must be at least 0 and less than 5; 0 prunes nothing"),
    ({"compression__alpha": 5}, "alpha must be at least 0 and less than 5; 0 prunes nothing"),
    ({"compression__bits": 1}, "bits must be 2 to 16, or 32 to leave weights unquantised"),
    ({"compression__bits": 17}, "bits must be 2 to 16, or 32 to leave weights unquantised"),
    ({"name": "1st"}, "metadata.name must be a DNS label that begins with a letter"),
    ({"name": "a" * 46}, "has at most 45 characters (a-z, 0-9, -); create the object under such a name"),
    ({"source": {}}, "source must be exactly one of training, model and artifact; state one and leave out the others"),
    ({"source__artifact": ARTIFACT}, "source must be exactly one of training, model and artifact"),
    ({"source__model": OWN}, "source must be exactly one of training, model and artifact"),
    (
        {"source__model": OWN, "source__artifact": ARTIFACT},
        "source must be exactly one of training, model and artifact",
    ),
    ({"compression": None}, "compression must be stated with source.training or source.model, and only with them"),
    (
        {"source": {"model": OWN}, "compression": None},
        "compression must be stated with source.training or source.model",
    ),
    ({"source": {"artifact": ARTIFACT}}, "compression must be stated with source.training or source.model, and only"),
    (
        {"source": {"model": OWN | {"uri": "s3://models/own.h5"}}},
        "uri must be pvc://CLAIM/PATH.keras, a file in a PersistentVolumeClaim of the same namespace, or s3://BUCKET/KEY.k",
    ),
    (
        {"source": {"model": OWN | {"dataset": {"uri": "pvc://sets/../own.npz"}}}},
        "uri must be pvc://CLAIM/PATH.npz, a file in a PersistentVolumeClaim of the same namespace, or s3://BUCKET/KEY.npz",
    ),
    (
        {"source": {"model": OWN | {"digest": "0" * 64}}},
        "digest must be sha256: and the 64 hexadecimal digits that sha256sum prints",
    ),
    (
        {"source": {"model": OWN | {"task": "Segmentation", "recipe": "Strong"}}},
        "recipe must be left out where task is not Classification; Strong smooths classes and moves images",
    ),
    (
        {"source": {"model": OWN | {"task": "Regression"}}, "objectives__quality": {"minimum": 90}},
        "objectives.quality.metric must judge source.model.task: state MeanAbsoluteError or MeanSquaredError for",
    ),
    (
        {"source": {"model": OWN | {"task": "Segmentation"}}, "objectives__quality": {"metric": "AUC", "minimum": 90}},
        "objectives.quality.metric must judge source.model.task: state MeanAbsoluteError or MeanSquaredError for",
    ),
    (
        {"objectives__quality": {"metric": "MeanAbsoluteError", "minimum": 1}},
        "minimum must be left out where metric is MeanAbsoluteError or MeanSquaredError, of which less is better",
    ),
    (
        {"objectives__quality": {"metric": "F1", "maximum": 90}},
        "maximum must be left out where metric is neither MeanAbsoluteError nor MeanSquaredError: more is better",
    ),
    (
        {"source__training": {"architecture": "VGG16", "dataset": "Digits"}},
        "dataset must have images that the architecture takes; VGG16 needs 32x32 images: use CIFAR10",
    ),
    ({"compression__granularity": "Channel"}, SHADOW_ONLY),
    ({"compression__channelSparsity": 0.1}, SHADOW_ONLY),
    ({"compression__firstAndLastLayers": "Dense"}, SHADOW_ONLY),
    (
        {"compression__rule": "Shadow", "compression__update": "InPlace"},
        "update must not be InPlace, nor frequency Epoch, where rule is Shadow, which keeps masters; leave both out",
    ),
    (
        {"compression__update": "Masters", "compression__frequency": "Epoch"},
        "update must be InPlace, or left out, where frequency is Epoch, which overwrites the weights",
    ),
    (
        {"compression__rule": "Shadow", "compression__ramp": 0.8},
        "ramp must leave freeze its share of the training; make",
    ),
    (
        {"compression__rule": "Shadow", "compression__freeze": 0.6},
        "ramp must leave freeze its share of the training; make",
    ),
    (
        {"source__training__recipe": "Strong", "source__training__learningRateSchedule": "Cosine"},
        "learningRateSchedule must be left out where recipe is Strong, which has a schedule of its own",
    ),
    (
        {"serving": {"engine": "LiteRT", "image": "tensorflow/serving:2.20.0"}},
        "engine must be left out where image is TensorFlow Serving's, which has one of its own; name modelpress-server",
    ),
    (
        {"serving": {"precision": "Int8"}, "compression__bits": 16},
        "serving.precision must not be Int8 where compression.bits is more than 8; set it to Auto",
    ),
    ({"autoscaling": {"minReplicas": 6}}, "minReplicas must be at most maxReplicas; lower the one or raise the other"),
    ({"objectives__quality": {"metric": "Accuracy"}}, "quality must state minimum, maximum or maximumLoss"),
    (
        {"objectives__quality": {"maximumLoss": 7}},
        "objectives.quality.maximumLoss must have a baseline to compare with; state baseline.name, or use minimum",
    ),
    ({"baseline": {"name": "cnn"}}, "spec.baseline.name must be another model than this one; name the uncompressed"),
    ({"baseline": {"name": "Big"}}, "name must be a DNS label that begins with a letter"),
    ({"objectives__window": "5 minutes"}, "window must be a whole number and s, m or h, for example 5m"),
    (
        {"compression": None, "source": {"artifact": ARTIFACT | {"uri": "gs://bucket/a.zip"}}},
        "uri must be pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the same namespace, or s3://BUCKET/KEY",
    ),
    (
        {"compression": None, "source": {"artifact": ARTIFACT | {"uri": "pvc://store/../a.zip"}}},
        "uri must be pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the same namespace",
    ),
    (
        {"compression": None, "source": {"artifact": ARTIFACT | {"uri": "s3://bucket/../a.zip"}}},
        "uri must be pvc://CLAIM/PATH, a file in a PersistentVolumeClaim of the same namespace, or s3://BUCKET/KEY",
    ),
    ({"store": {"uri": "s3://me:key@bucket/models"}}, "uri must be s3://BUCKET/PREFIX, or pvc://CLAIM, a PersistentV"),
    (
        {"compression": None, "source": {"artifact": ARTIFACT | {"digest": "sha256:12"}}},
        "digest must be sha256: and 64 hexadecimal digits; model-artifact inspect prints it",
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), BROKEN_RULES)
def test_the_server_and_the_types_refuse_in_the_same_words(fields, sentence, refuse):
    body = model(**fields)
    assert sentence in refuse(body)
    with pytest.raises(InvalidModelError) as caught:
        parse_model(body)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"compression__rule": "Magic"},
            'spec.compression.rule: Unsupported value: "Magic": supported values: "Floor"',
        ),
        (
            {"source__training__architecture": "ResNet50"},
            'architecture: Unsupported value: "ResNet50": supported values: "CNN", "SmallCNN", "VGG16"',
        ),
        ({"source__training__dataset": "MNIST"}, 'Unsupported value: "MNIST": supported values: "CIFAR10", "Digits"'),
        (
            {"compression__rule": "Shadow", "compression__firstAndLastLayers": "Whole"},
            'Unsupported value: "Whole": supported values: "Compressed", "Dense"',
        ),
        ({"serving": {"engine": "TPU"}}, 'Unsupported value: "TPU": supported values: "LiteRT", "OpenVINO"'),
        ({"rollout__strategy": "Canary"}, 'Unsupported value: "Canary": supported values: "Rolling", "Recreate"'),
        ({"source__training__epochs": -1}, "spec.source.training.epochs in body should be greater than or equal to 0"),
        (
            {"source__training__patience": 0},
            "spec.source.training.patience in body should be greater than or equal to 1",
        ),
        ({"compression__ramp": 1.5}, "spec.compression.ramp in body should be less than or equal to 1"),
        ({"source__training__maximumSteps": 0}, "maximumSteps in body should be greater than or equal to 1"),
        ({"source__training__learningRate": 0}, "spec.source.training.learningRate in body should be greater than 0"),
        ({"source__training__dataset": None}, "spec.source.training.dataset: Required value"),
        ({"serving__resources": {"limits": {"cpu": "one"}}}, "spec.serving.resources.limits.cpu in body should match"),
        ({"serving__resources": {"limits": {"cpu": 0.5}}}, "spec.serving.resources.limits.cpu in body must be of type"),
        ({"build__retries": 11}, "spec.build.retries in body should be less than or equal to 10"),
        ({"build__queueName": "q" * 64}, "spec.build.queueName: Too long: may not be more than 63 bytes"),
        ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
        ({"sparsity": 3}, 'unknown field "spec.sparsity"'),
    ],
)
def test_the_server_refuses_what_a_field_may_not_be_and_says_what_it_may(fields, words, refuse):
    assert words in refuse(model(**fields))


def test_the_status_is_written_apart_from_the_spec(kubectl):
    kubectl("apply", "-f", "-", text=json.dumps(model() | {"status": {"observedGeneration": 7}}))
    assert read(kubectl)["status"] == {"observedGeneration": -1}, "that of nobody, until the operator has looked"
    patch = {"spec": {"replicas": 5}, "status": STATUS}
    kubectl("patch", "cmod", "cnn", "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    stored = read(kubectl)
    assert stored["status"] == STATUS
    assert (stored["spec"]["replicas"], stored["metadata"]["generation"]) == (1, 1)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"conditions": [STATUS["conditions"][0] | {"status": "Maybe"}]}, 'Unsupported value: "Maybe"'),
        ({"conditions": [STATUS["conditions"][0] | {"lastTransitionTime": "now"}]}, "must be of type date-time"),
        ({"conditions": STATUS["conditions"] * 2}, "Duplicate value"),
        ({"observedGeneration": None}, "status.observedGeneration: Required value"),
    ],
)
def test_a_status_that_is_not_as_described_is_refused(part, words, kubectl, crd_server, api_namespace):
    kubectl("apply", "-f", "-", text=json.dumps(model()))
    patch = json.dumps({"status": STATUS | part})
    refused = crd_server.kubectl(
        "-n", api_namespace, "patch", "cmod", "cnn", "--subresource=status", "--type=merge", "-p", patch
    )
    assert refused.returncode != 0
    assert words in refused.stderr


def test_conditions_of_two_managers_are_merged_by_type(kubectl):
    kubectl("apply", "-f", "-", text=json.dumps(model()))
    for manager, kind in (("one", "Ready"), ("other", "Stalled")):
        condition = STATUS["conditions"][0] | {"type": kind}
        status = {"observedGeneration": 1, "conditions": [condition]}
        body = {key: value for key, value in model().items() if key != "spec"} | {"status": status}
        kubectl(
            *("apply", "--server-side", "--subresource=status", f"--field-manager={manager}", "--validate=false"),
            *("-f", "-"),
            text=json.dumps(body),
        )
    assert [condition["type"] for condition in read(kubectl)["status"]["conditions"]] == ["Ready", "Stalled"]


def test_scale_sets_replicas_and_shows_those_that_are(kubectl, api_namespace):
    kubectl("apply", "-f", "-", text=json.dumps(model()))
    patch = json.dumps({"status": STATUS})
    kubectl("patch", "cmod", "cnn", "--subresource=status", "--type=merge", "-p", patch)
    kubectl("scale", "cmod/cnn", "--replicas=3")
    assert read(kubectl)["spec"]["replicas"] == 3
    path = f"/apis/modelpress.dev/v1alpha1/namespaces/{api_namespace}/compressedmodels/cnn/scale"
    scale = json.loads(kubectl("get", "--raw", path))
    assert (scale["spec"], scale["status"]) == (
        {"replicas": 3},
        {"replicas": 2, "selector": "modelpress.dev/model=cnn"},
    )


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_the_printed_columns_show_what_is_and_leave_out_what_is_not_known(kubectl):
    kubectl("apply", "-f", "-", text=json.dumps(model()))
    head, row = rows(kubectl("get", "cmod"))
    columns = ["NAME", "READY", "ALPHA", "BITS", "SIZE", "RATIO", "QUALITY", "P95", "MCORES", "MIB", "REPLICAS", "AGE"]
    assert head == columns
    assert row[:1] == ["cnn"]
    assert len(row) == 2, "what is not known is empty, and AGE is last"
    status = STATUS | {"compression": {"alpha": 1.25, "bits": 8, "rule": "Floor"}}
    kubectl("patch", "cmod", "cnn", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    head, row = rows(kubectl("get", "cmod"))
    assert head == columns
    assert row[:-1] == ["cnn", "False", "1.25", "8", "854kB", "9.93", "71.5", "2.47", "118", "85.9", "2"]
    head, row = rows(kubectl("get", "cmod", "-o", "wide"))
    assert head == [*columns, "RULE", "REVISION", "DIGEST", "REASON"]
    assert row[12:] == ["Floor", "81f03c362b1a", ARTIFACT["digest"], "Building"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "A neural network, compressed by pruning and quantising its weights, and served."),
        (".spec.autoscaling", "A HorizontalPodAutoscaler (autoscaling/v2) for the model."),
        (".spec.autoscaling", "targetCPUUtilizationPercentage <integer>"),
        (".spec.compression.alpha", "FIELD: alpha <number>"),
        (".spec.serving.resources.limits", "FIELD: limits <map[string]Object>"),
        (".status.kpis.memoryMebibytes", "Working set of a pod, mean over pods."),
    ],
)
def test_kubectl_explains_fields(path, words, kubectl):
    assert words in " ".join(kubectl("explain", f"cmod{path}").split())


def test_applying_twice_changes_nothing(kubectl):
    text = (ROOT / "examples" / "vgg16-a125-b8.yaml").read_text()
    versions = []
    # The first write after the object was made stores the status that it has by default.
    for _ in range(3):
        kubectl("apply", "--server-side", "--field-manager=user", "-f", "-", text=text)
        metadata = read(kubectl, "vgg16-a125-b8")["metadata"]
        versions.append((metadata["resourceVersion"], metadata["generation"]))
    assert versions[2] == versions[1] == (versions[1][0], 1)
