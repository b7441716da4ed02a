"""Compile CUDA text by NVRTC, or by g++ without a card, and cache the results.

`engine.gpu.device` imports it.
"""
