"""One picture to predict from, brought into the form of MNIST: 28 × 28, white on black, a row of 784 bytes.

Takes a path, gives an array; must not know models.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symgrad.data.arrays import read_npy
from symgrad.errors import DataError
from symgrad.storage.reading import opened

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 28
_LARGEST_PIXELS = 2**24
# What Pillow raises, depending on which byte is wrong; its UnidentifiedImageError is an OSError.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error, zlib.error)


def image(path: str | Path) -> NDArray[np.uint8]:
    """A picture as uint8 of shape (784,), 0 for the background and 255 for the ink.

    `.npy`: an array of shape (28, 28) or (784,), or with further axes of size 1: whole numbers from 0 to 255, or
    reals, which are taken as a share of 255 when none is above 1. It is used as it is.

    `.png`: becomes grey, transparency is laid on white, a picture that is not 28 × 28 is padded to a square with its
    background and resized. The background is the median along the border; when it is light, the picture is inverted.
    The digit is not moved: MNIST's are centred and about 20 pixels high.

    Raises NotFoundError, StorageError, and DataError for damaged or unsuitable files.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "digit.npy"
    >>> np.save(path, np.eye(28))
    >>> image(path)[:3]
    array([255,   0,   0], dtype=uint8)
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _from_array(read_npy(path), path)
    if path.suffix.lower() == ".png":
        return _from_png(path)
    raise DataError(f"{path} is no picture that can be read; give a .png file or a .npy array.")


def _from_array(array: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Check shape and range, and scale shares of 1."""
    if np.squeeze(array).shape not in ((SIDE, SIDE), (SIDE * SIDE,)):
        raise DataError(f"{path} has shape {array.shape}; a picture is (28, 28) or (784,).")
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 255:
        raise DataError(f"{path} has values outside 0 … 255 or that are not finite; a picture has neither.")
    scale = 255 if array.dtype.kind in "bf" and array.max() <= 1 else 1
    return np.rint(array.reshape(-1) * np.float64(scale)).astype(np.uint8)


def _from_png(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps  # here, because training and every other command start faster without it

    with opened(path, "PNG file", DataError) as (file, _):
        data = file.read()
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.width * picture.height > _LARGEST_PIXELS:
                raise DataError(
                    f"{path} has {picture.width} × {picture.height} pixels; at most {_LARGEST_PIXELS:,} are read. "
                    "Scale it down first."
                )
            picture.load()
            grey = _grey(picture)
    except (*_DAMAGED, Image.DecompressionBombError) as problem:
        raise DataError(f"{path} is not a sound PNG file ({problem}); save the picture again.") from problem
    pixels = np.asarray(grey)
    background = float(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))
    if grey.size != (SIDE, SIDE):
        grey = ImageOps.pad(grey, (SIDE, SIDE), Image.Resampling.LANCZOS, color=int(background))
    row = np.asarray(grey, np.uint8).reshape(-1)
    return 255 - row if background >= 128 else row.copy()


def _grey(picture: "Image") -> "Image":
    """Eight bits of grey, transparency on white."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255 instead of scaling
        return Image.fromarray((np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    coloured = picture.convert("RGBA")
    white = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(white, coloured).convert("L")
