"""Code generation: expressions to schedule, to ownership, to loops, to Python source, to machine code by Numba."""
