"""From expressions to Numba kernels."""
