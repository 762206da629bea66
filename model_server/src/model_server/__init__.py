"""TensorFlow Serving's command line, gRPC, REST and metrics over LiteRT, without TensorFlow."""
