"""The report: one HTML page on a fitted plan, with later rows compared to training.

`report` gathers the facts, and `report_data` holds them with the verdict. `columns`, `sections`,
`smaller_floats` and `picture` render them, `page` has the frame and the style. `energy` reads
counters.

`api` imports this folder on demand; it imports `quality` and the layers below.
"""
