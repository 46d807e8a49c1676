"""symgrad, a symbolic differentiation compiler."""
