"""The site: pages of `docs/` and a reference, staged for a builder, and a check of its output."""
