"""Count, exact sum, exact sum of squares, least and greatest value of a column, in one pass.

`grouped` and `powers` build on it; `aggregates`, `engine` and `steps` import it.

Spec: missing values (a cleared bit of the bitmap; of floats also NaN) are counted and otherwise
skipped. Infinities count, take part in the least and the greatest, are counted apart by sign with
the first row of any, and add nothing to the sums. Sums are exact, subnormals and the largest floats
included; the order of floats is total, -0.0 below 0.0. States add up: any split of the rows, merged
in any order, reads out as the same `state.Moments`. An entry adds rows [first, first + n) of one
chunk to one state and returns 0; the words of its table stand in `layout`, and `state.summarize`
runs it over chunks and threads.
"""
