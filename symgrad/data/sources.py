"""From what a user names (`mnist`, a folder, a file) to a Dataset. Knows the readers; must not know any format."""

from pathlib import Path

import numpy as np

from symgrad.data import idx
from symgrad.data.arrays import read_npz
from symgrad.data.dataset import Array, Dataset, require_finite
from symgrad.data.table import read_csv
from symgrad.errors import ConfigurationError, DataError, NotFoundError

MNIST_FOLDER = Path(__file__).parent / "mnist"
IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def mnist() -> Dataset:
    """The whole MNIST database: uint8 pictures (60000, 784) and (10000, 784), int64 labels 0 to 9.

    >>> mnist().x_train.shape
    (60000, 784)
    """
    return _from_folder(MNIST_FOLDER, "mnist")


def load(source: str | Path | None = None, label: str | None = None) -> Dataset:
    """The data set that `source` names; images stay uint8, labels become int64.

    None or "mnist": the shipped MNIST. A folder: IDX files under MNIST's names, `.gz` or not; without the two t10k
    files there is no test set. `FILE.npz`: arrays x_train and y_train, optionally x_test and y_test; x of more than
    two dimensions is flattened to (n, features), whole numbers of y become int64. `FILE.csv`: see
    `symgrad.data.table.read_csv`; it has no test set; `label` names its label column.

    Raises NotFoundError (no such file), DataError (damaged, foreign, empty, not fitting together), StorageError,
    ConfigurationError (`label` for anything but CSV).

    >>> load("mnist").y_test[:3]
    array([7, 2, 1])
    """
    path = MNIST_FOLDER if source is None or source == "mnist" else Path(source)
    suffix = path.suffix.lower()
    if label is not None and (suffix != ".csv" or path.is_dir()):
        raise ConfigurationError(f"a label column ({label}) can only be named for a CSV file, not for {source}.")
    if path is MNIST_FOLDER:
        return mnist()
    if path.is_dir():
        return _from_folder(path, str(path))
    if not path.exists():
        raise NotFoundError(f"data {source} does not exist; give mnist, a folder of IDX files, a .npz or a .csv file.")
    if suffix == ".npz":
        return _from_npz(path)
    if suffix == ".csv":
        table = read_csv(path, label)
        return Dataset(str(path), table.features, table.labels, classes=table.classes)
    raise DataError(f"{path} is of no known kind; give a folder of IDX files, a .npz or a .csv file.")


def _from_folder(folder: Path, name: str) -> Dataset:
    """Four IDX files, or the two for training. Labels first: they are small, and errors in them show at once."""
    paths = {part: _idx_path(folder, stem) for part, stem in IDX_NAMES.items()}
    present = [part for part, path in paths.items() if path is not None]
    if missing := [part for part in IDX_NAMES if part not in present and _needed(part, present)]:
        names = ", ".join(IDX_NAMES[part] for part in missing)
        raise NotFoundError(f"folder {folder} has no {names} (with or without .gz); add or rename the files.")
    labels = {part: idx.labels(path) for part, path in paths.items() if path is not None and part[0] == "y"}
    pictures = {part: idx.images(path) for part, path in paths.items() if path is not None and part[0] == "x"}
    arrays: dict[str, Array] = {part: array.astype(np.int64) for part, array in labels.items()}
    arrays |= {part: array for part, (array, _) in pictures.items()}
    return _dataset(name, arrays, pictures["x_train"][1])


def _needed(part: str, present: list[str]) -> bool:
    """Training files always; a test file when the other one is there."""
    return part.endswith("train") or any(other.endswith("test") for other in present)


def _idx_path(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.exists()), None)


def _from_npz(path: Path) -> Dataset:
    """Arrays by name, brought to the form that Dataset promises."""
    found = read_npz(path, required=("x_train", "y_train"), optional=("x_test", "y_test"))
    arrays = {
        part: (_features if part[0] == "x" else _targets)(array, f"{path}: {part}") for part, array in found.items()
    }
    train = found["x_train"].shape
    return _dataset(str(path), arrays, (train[1], train[2]) if len(train) == 3 else None)


def _dataset(name: str, arrays: dict[str, Array], image_shape: tuple[int, int] | None) -> Dataset:
    return Dataset(
        name, arrays["x_train"], arrays["y_train"], arrays.get("x_test"), arrays.get("y_test"), image_shape=image_shape
    )


def _features(array: Array, place: str) -> Array:
    """(n, features); booleans as bytes and half floats as float32, which every kernel can read."""
    if array.ndim < 2:
        raise DataError(f"{place} has shape {array.shape}; it needs a row for each example: (rows, features, …).")
    require_finite(array, place)
    kind = {"?": np.uint8, "e": np.float32}.get(array.dtype.char)
    flat = array.reshape(len(array), -1) if array.size else array.reshape(len(array), 0)
    return flat if kind is None else flat.astype(kind)


def _targets(array: Array, place: str) -> Array:
    """int64 classes (n,), or real targets as they are."""
    require_finite(array, place)
    if array.dtype.kind == "f":
        return array.astype(np.float32) if array.dtype.itemsize == 2 else array
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{place} holds {array.max()}, which is no class number; number the classes from 0.")
    column = array.ndim == 2 and array.shape[1] == 1
    return (array.reshape(-1) if column else array).astype(np.int64)
