"""The version of fastfeat, which artifacts, states and services name; it imports nothing."""

__version__ = "0.1.0"
