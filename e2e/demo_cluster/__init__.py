"""The main job on a real node: from `kubectl apply` to a served, scaled and measured compressed model."""
