"""The faces: `Plan`, `FittedPlan`, and what runs both of them."""
