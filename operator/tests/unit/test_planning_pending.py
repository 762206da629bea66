"""Why a build's pod does not run: what only the cluster can know, told with what to do."""

import pytest

from model_operator.api.v1alpha1 import Build
from model_operator.observation import BuildAttempt
from model_operator.planning.pending import format_pending

# Words of Kubernetes 1.34: its scheduler, its Job controller and its kubelet.
NO_PRIORITY = 'Error creating: pods "build-1-" is forbidden: no PriorityClass with name high was found'
NO_QUOTA = (
    'Error creating: pods "build-1-" is forbidden: exceeded quota: small, requested: requests.cpu=1, used:'
    " requests.cpu=0, limited: requests.cpu=500m"
)
SELECTOR = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are"
TAINT = "0/1 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: }. preemption: 0/1 nodes are"
GPU = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {lent: }."
VOLUME = "0/1 nodes are available: 1 node(s) had volume node affinity conflict."


def tell(reason, message, **build):
    attempt = BuildAttempt("build-1", frozenset(), "0", 0, "Pending", reason=reason, message=message)
    return format_pending(attempt, Build(**build))


@pytest.mark.parametrize(
    ("reason", "message", "told", "remedy"),
    [
        (
            "FailedCreate",
            NO_QUOTA,
            "QuotaExceeded",
            "Raise the quota, or lower spec.build.resources; it goes on by itself.",
        ),
        (
            "FailedCreate",
            NO_PRIORITY,
            "BuildPending",
            "Make it: kubectl create priorityclass high --value=0; or correct spec.build.priorityClassName.",
        ),
        ("Unschedulable", SELECTOR, "BuildPending", "Change spec.build.nodeSelector, or label a node so."),
        ("Unschedulable", TAINT, "BuildPending", "Add the taint to spec.build.tolerations."),
        (
            "Unschedulable",
            GPU,
            "BuildPending",
            "Add the taint to spec.build.tolerations; lower spec.build.resources.requests, or add a node.",
        ),
        (
            "Unschedulable",
            'persistentvolumeclaim "mine" not found',
            "BuildPending",
            "Make the claim, or correct the uri that names it.",
        ),
        (
            "Unschedulable",
            VOLUME,
            "BuildPending",
            "Let the build run where its volumes are, or use a store that every node reaches.",
        ),
        (
            "ImagePullBackOff",
            'Back-off pulling image "builder:1"',
            "BuildPending",
            "Check the operator's builder image, and that the node may pull it.",
        ),
    ],
)
def test_a_cause_that_is_known_has_a_remedy(reason, message, told, remedy):
    found, sentence = tell(reason, message)
    assert found == told
    assert sentence == f"Job build-1 has no pod that runs yet: {reason} {message.rstrip('.')}. {remedy}"


@pytest.mark.parametrize(
    ("reason", "message", "sentence"),
    [
        ("", "", "Job build-1 has no pod that runs yet."),
        ("Unschedulable", "0/1 nodes", "Job build-1 has no pod that runs yet: Unschedulable 0/1 nodes."),
        (
            "FailedCreate",
            "violates PodSecurity",
            "Job build-1 has no pod that runs yet: FailedCreate violates PodSecurity.",
        ),
    ],
)
def test_another_cause_is_told_in_the_words_of_kubernetes(reason, message, sentence):
    assert tell(reason, message) == ("BuildPending", sentence)
