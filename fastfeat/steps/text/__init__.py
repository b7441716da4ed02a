"""Text: lengths, case, parts of texts, literals, numbers, patterns, dates, and choices between texts.

`steps.registry` and `backends` import it.
"""
