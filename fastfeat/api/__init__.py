"""The public API: `Plan`, `FittedPlan`, and functions to compile, fit, compare and serve plans."""
