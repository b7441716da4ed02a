"""The engine on the CPU: programs rendered as fused loops, compiled, and cached as machine code.

The steps of the CPU import it, and the host's part of those of a device.
"""
