"""The faces: `Plan`, `FittedPlan`, and what runs both of them.

Imports `plan` and `live`; only what stands above the API imports it.
"""
