"""Compiling CUDA text by NVRTC, or by g++ without a card, and keeping what comes of it.

`engine.gpu.device` imports it.
"""
