"""The demo: features of real flights, saved, verified, and timed beside the same in pandas."""
