"""Builds the images of the Dockerfile with buildah, from package registries alone: no image registry is needed."""
