"""Running: rows go through the schedule of a plan, from the user's data to results."""
