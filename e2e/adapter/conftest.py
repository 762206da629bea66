"""The node with the operator on it, as the tests of the operator on the node have it."""

from operator_node.conftest import digit_pictures, image_names, installation, models

__all__ = ["digit_pictures", "image_names", "installation", "models"]
