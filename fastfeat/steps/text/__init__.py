"""Text: lengths, case, slices, literals, numbers, patterns, dates, and choices between texts.

`steps.registry` and `backends` import it.
"""
