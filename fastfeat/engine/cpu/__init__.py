"""The engine on the CPU: programs become fused loops, compiled, and cached as machine code.

The CPU steps import it, and so do the host parts of device steps.
"""
