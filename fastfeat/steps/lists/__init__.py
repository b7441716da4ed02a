"""Lists: functions of each row's list, and aggregates of its elements."""
