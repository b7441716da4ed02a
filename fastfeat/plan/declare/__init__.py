"""Declaring: checked arguments, the columns and rows that expressions read, leakage, bound types.

This folder imports nothing else from `plan`. Other folders of `plan`, and everything above it, may
import from it.
"""
