"""Training and test arrays that belong together. Must not know where they came from beyond a name for messages."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symgrad.errors import ConfigurationError, DataError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Arrays of one data source; checked against each other when it is made (DataError).

    `x_train` has shape (n, features), `y_train` (n,) or (n, outputs): int64 class labels, or real targets.
    `x_test` and `y_test` have the same form with their own n, or are None together. `classes` names the labels
    0, 1, … where the source had words for them; `image_shape` is (rows, columns) where a row of x is a picture.

    >>> Dataset("tiny", np.zeros((4, 2)), np.arange(4)).split(1)[3]
    array([3])
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array | None = None
    y_test: Array | None = None
    classes: tuple[str, ...] | None = None
    image_shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _check_pair(self.name, "train", self.x_train, self.y_train)
        if (self.x_test is None) != (self.y_test is None):
            missing = "x_test" if self.x_test is None else "y_test"
            raise DataError(f"{self.name}: {missing} is missing; a test set needs both x_test and y_test, or neither.")
        if self.x_test is None or self.y_test is None:
            return
        _check_pair(self.name, "test", self.x_test, self.y_test)
        for name, train, test in (("x", self.x_train, self.x_test), ("y", self.y_train, self.y_test)):
            if train.shape[1:] != test.shape[1:]:
                raise DataError(
                    f"{self.name}: {name}_train has shape {train.shape} but {name}_test {test.shape}; "
                    "apart from the number of rows they must agree."
                )

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one row of x, such as (784,)."""
        return self.x_train.shape[1:]

    def split(self, validation: int) -> tuple[Array, Array, Array, Array]:
        """Hold out the last `validation` training rows: (x_train, y_train, x_validation, y_validation).

        0 gives validation arrays without rows. Raises ConfigurationError for a negative number or one that leaves no
        row to train on. The arrays are views.
        """
        rows = len(self.x_train)
        if not 0 <= validation < rows:
            raise ConfigurationError(
                f"cannot hold out {validation} of the {rows} training rows of {self.name} for validation; "
                f"choose 0 to {rows - 1}."
            )
        kept = rows - validation
        return self.x_train[:kept], self.y_train[:kept], self.x_train[kept:], self.y_train[kept:]

    def limit(self, rows: int) -> "Dataset":
        """The first `rows` rows of the training set and of the test set (all, where there are fewer).

        Raises ConfigurationError when `rows` is not positive. The arrays are views.
        """
        if rows < 1:
            raise ConfigurationError(f"cannot limit {self.name} to {rows} rows; give at least 1.")
        return replace(
            self,
            x_train=self.x_train[:rows],
            y_train=self.y_train[:rows],
            x_test=None if self.x_test is None else self.x_test[:rows],
            y_test=None if self.y_test is None else self.y_test[:rows],
        )


def require_finite(array: Array, place: str) -> None:
    """DataError naming row and column of the first NaN or infinity; `place` is "FILE: NAME"."""
    if array.dtype.kind != "f":
        return
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = ", ".join(str(i) for i in bad[0])
        raise DataError(
            f"{place}[{index}] (counted from 0) is {array[tuple(bad[0])]}; training needs finite numbers. "
            "Remove or fill in such rows."
        )


def _check_pair(name: str, part: str, x: Array, y: Array) -> None:
    """Rows, features and labels of one half of a data set."""
    if x.ndim != 2:
        raise DataError(f"{name}: x_{part} has shape {x.shape}; it must be (rows, features).")
    if y.ndim not in (1, 2):
        raise DataError(f"{name}: y_{part} has shape {y.shape}; it must be (rows,) or (rows, outputs).")
    if x.size == 0 or y.size == 0:
        raise DataError(f"{name}: the {part} set is empty: x_{part} {x.shape}, y_{part} {y.shape}; give some rows.")
    if len(x) != len(y):
        raise DataError(
            f"{name}: x_{part} has {len(x)} rows but y_{part} has {len(y)}; every row needs exactly one label."
        )
