"""Declaring: arguments checked, columns and rows that expressions read, what may leak, types bound.

Imports nothing else of `plan`; its other floors, and all that stands above it, import from here.
"""
