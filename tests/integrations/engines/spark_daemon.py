"""What Spark forks its Python workers from, with fastfeat imported: each would import it anew."""

from __future__ import annotations

from importlib import import_module

from pyspark.daemon import manager  # pyright: ignore[reportMissingImports]

if __name__ == "__main__":
    import_module("fastfeat.integrations.spark")
    manager()
