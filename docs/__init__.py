"""The pages, and the demos that they show."""
