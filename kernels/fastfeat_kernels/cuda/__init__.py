"""CUDA C++ for all kernels: the prelude of their text, and the emulator that runs it by g++."""
