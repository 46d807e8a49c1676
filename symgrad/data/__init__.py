"""Data to train on: the shipped MNIST, IDX folders, `.npz` and `.csv` files, and single pictures to predict from.

Everything comes out as NumPy arrays, never scaled: scaling is part of a model's expression. Nothing here knows
expressions, models or training, and nothing in a file is believed before it is checked.
"""

from symgrad.data.dataset import Dataset
from symgrad.data.picture import image
from symgrad.data.sources import load, mnist

__all__ = ["Dataset", "image", "load", "mnist"]
