"""The public API: `Plan` and `FittedPlan`, and functions that compile, fit, compare and serve them."""
