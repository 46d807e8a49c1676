"""The models that ship: each file is exactly what a user's own model file looks like."""
