"""The export in C11: one `.c` and one `.h`, rendered from the programs and steps of a plan."""
