"""The report: a page of a fitted plan and of rows beside those of training, in one file."""
