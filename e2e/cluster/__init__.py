"""One real Kubernetes node in a network namespace of its own, built from package registries alone."""
