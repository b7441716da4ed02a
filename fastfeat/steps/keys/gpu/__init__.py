"""Keys on a device: distinct keys, codes, hashes, and groups of rows.

Other subjects of `steps` read their keys by it; `backends` imports it.
"""
