"""Running: rows through the schedule of a plan, from the data of a user to results."""
