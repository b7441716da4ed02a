"""Peers: a fitted plan as a module of pandas or Polars, for people to read and `bench` to time."""
