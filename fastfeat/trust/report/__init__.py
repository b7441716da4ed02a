"""The report: a page of a fitted plan and of rows beside those of training, in one file.

`report` gathers the facts, which `found` has with the verdict on them; `columns`, `sections`,
`smaller` and `picture` show them, and `page` has the frame and the style. `energy` reads counters.

`api` imports it, when somebody asks; it imports `quality` and what is below.
"""
