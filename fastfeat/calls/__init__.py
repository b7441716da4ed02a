"""Help with user calls: argument checks, tab completion, and recorded calls for `with_params`."""
