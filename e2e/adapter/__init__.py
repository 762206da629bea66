"""prometheus-adapter, built from its Go module and run on the node: scaling on requests and on latency."""
