"""The benchmark: workloads, their peers, and the runner that times them side by side."""
