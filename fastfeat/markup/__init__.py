"""Markup: HTML and SVG of plain texts and numbers, for notebooks and reports; it knows no plan."""
