"""How long tests wait for what comes: only what never comes takes so long on a busy machine."""

from __future__ import annotations

PATIENCE_S = 600
"""Less than `faulthandler_timeout`, so that a test that waits in vain says so itself."""
