"""Calls of users: arguments checked, names completed, what was written recorded."""
