"""Verifies what a store says that a recipe gave."""

from model_artifact.errors import ArtifactError
from model_artifact.inspection import render_summary, verify_and_inspect
from model_artifact.location import Location
from model_artifact.summary import ArtifactSummary, artifact_path
from model_builder.seal import Seal


def verify_known(
    artifact: Location, stated: ArtifactSummary, recipe_digest: str, seal: Seal | None = None
) -> ArtifactSummary:
    """The facts of the artifact, measured anew, every byte of it verified.

    Args:
        artifact: where it is.
        stated: what the store's record says of it.
        recipe_digest: that it must have been made from.
        seal: that must have signed it; None where builds do not sign.

    Raises:
        ArtifactError: when it is damaged, another one, of another recipe, or not signed by the seal.
        OSError: when its file cannot be read.
    """
    approve = seal.load_approval(artifact) if seal is not None else lambda _: None
    facts = verify_and_inspect(artifact, digest=stated.digest, approve=approve)
    summary = render_summary(facts, artifact_path(facts.digest))
    if summary.recipe_digest != recipe_digest:
        raise ArtifactError(f"{artifact.name} was made from {summary.recipe_digest}")
    return summary
