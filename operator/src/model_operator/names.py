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
