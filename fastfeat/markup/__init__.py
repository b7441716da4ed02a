"""HTML and SVG from plain texts and numbers, for notebooks and reports; it does not know plans."""
