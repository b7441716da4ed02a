"""Peers: code that computes a fitted plan in another library, which is pandas or Polars.

The code is a module for people to read, and for `bench` to compare speeds.
"""
