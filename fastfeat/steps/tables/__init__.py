"""Tables: rows of another table, by key, or by key and moment."""
