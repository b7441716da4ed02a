"""Peers: a fitted plan as a module of pandas or of Polars, that people read and `bench` times."""
