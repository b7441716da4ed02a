"""Programs as CUDA kernels: rendered, bound to memory, launched."""
