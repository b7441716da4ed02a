"""Lists: functions of the list of each row, and aggregates of its elements."""
