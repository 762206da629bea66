"""The kind of server that ours is compared with: a float32 SavedModel in TensorFlow behind Flask."""
