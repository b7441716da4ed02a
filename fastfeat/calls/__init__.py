"""Help with user calls: checks of arguments, rows of options, and tab completion."""
