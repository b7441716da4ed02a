"""Keys on a device: distinct keys, codes, hashes, and groups of rows."""
