"""What Spark forks its Python workers from, with fastfeat imported: each would import it anew."""

from __future__ import annotations

from importlib import import_module

if __name__ == "__main__":
    import_module("fastfeat.integrations.spark")
    import_module("pyspark.daemon").manager()
