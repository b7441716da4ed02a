"""Trust: checks of data and drift, checks that all ways to compute features agree, and reports."""
