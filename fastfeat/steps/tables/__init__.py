"""Tables: values of another table, found by key, or by key and moment (as-of joins)."""
