"""Trust: data checks, drift, verification of promises, and reports on all of them."""
