"""Handling of user calls: argument checks, tab completion, and recording for `with_params`."""
