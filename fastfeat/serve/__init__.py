"""A server of features over HTTP, KServe, MLflow and Arrow Flight; the command line imports it."""
