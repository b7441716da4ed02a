"""The GPU backend: programs rendered to CUDA, on a card or in the emulator."""
