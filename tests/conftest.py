"""What all tests share: Hypothesis profiles, and a cache of compiled kernels of their own."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# The first example of a plan compiles it: no deadline, and slow is not unhealthy.
# `dev` is for a person who waits, `ci` for `make test`, `nightly` to search.
settings.register_profile(
    "dev", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("dev"), max_examples=200, derandomize=True)
settings.register_profile("nightly", settings.get_profile("dev"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled kernels beside pytest's own cache, between runs and away from the user's."""
    cache = getattr(config, "cache", None)  # none with -p no:cacheprovider
    if cache is not None:
        os.environ.setdefault("FASTFEAT_CACHE_DIR", str(cache.mkdir("kernels")))
