"""The contract between builder, server and operator: recipe, manifest, artifact format, version folder.

`model_artifact.recipe`, `.manifest` and `.errors` need pydantic alone; packing and unpacking need the extra `coding`.
"""
