"""TensorFlow Serving's command line, gRPC, REST and metrics over LiteRT, without TensorFlow."""

import os

# numpy's linear algebra, of which nothing is used here, starts a thread for every processor of the node when imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# gRPC's core then reads sockets on the thread that waits for calls, not on others that wake it up: a call costs less.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
