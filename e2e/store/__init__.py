"""versitygw, an S3 server that is built from Go modules, and tests of stores against it."""
