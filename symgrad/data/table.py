"""CSV files: a header row, one label column, numbers in every other column.

Takes a path, gives features, labels and the labels' names; must not know about training. One parser for every file,
so that what is accepted does not depend on how it is read; errors give the line and the column's name.
"""

import csv
import io
import math
from array import array
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from symgrad.data.dataset import Array
from symgrad.errors import DataError
from symgrad.storage.reading import opened, shown

LABEL_NAMES = ("label", "class", "target", "y")
"""Columns taken for the labels when none is named, the first that exists, whatever its case."""

_LARGEST_EXACT = 2.0**53


class Table(NamedTuple):
    """float32 features (n, columns); labels int64 or, for regression, float32 (n,); the classes' names or None."""

    features: Array
    labels: Array
    classes: tuple[str, ...] | None


def read_csv(path: Path, label: str | None = None) -> Table:
    """Read a comma-separated UTF-8 file whose first line names its columns; blank lines are skipped.

    The labels are the column `label`, else the first of LABEL_NAMES, else the last column (then it must be numeric).
    Whole numbers become int64 classes, other numbers real targets, words classes numbered in sorted order.
    Raises NotFoundError, StorageError, and DataError with line and column for anything that does not fit.
    """
    with opened(path, "CSV file", DataError) as (file, size):
        if size == 0:
            raise DataError(f"{path} is empty; its first line must name the columns.")
        try:
            return _parsed(file, path, label)
        except UnicodeDecodeError as problem:
            raise DataError(f"{path} is not UTF-8 text ({problem.reason}); save it as UTF-8.") from problem
        except csv.Error as problem:
            raise DataError(f"{path} is not a sound CSV file: {problem}; save it as CSV again.") from problem


def _parsed(file: BinaryIO, path: Path, label: str | None) -> Table:
    # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
    rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), strict=True)
    names = _header(next(rows, []), path)
    column, guessed = _label_column(names, path, label)
    values, words, lines = array("f"), [], array("q")
    for cells in rows:
        if not cells:
            continue
        if len(cells) != len(names):
            raise DataError(
                f"{path}, line {rows.line_num}: {len(cells)} cells where the header has {len(names)} columns; "
                "complete or remove the line."
            )
        words.append(cells.pop(column).strip())
        values.extend(_numbers(cells, path, rows.line_num, names, column))
        lines.append(rows.line_num)
    if not lines:
        raise DataError(f"{path} is empty: it has a header but no rows; add some.")
    features = np.frombuffer(values, np.float32).reshape(len(lines), len(names) - 1)
    for row, position in np.argwhere(~np.isfinite(features))[:1]:
        raise DataError(
            f"{path}, line {lines[row]}, column {shown(_feature_name(names, column, position))}: not a finite 32-bit "
            "number; training needs one in every cell. Fill in or remove the line."
        )
    return Table(features, *_labels(words, lines, f"{path}, column {shown(names[column])}", guessed))


def _header(cells: list[str], path: Path) -> list[str]:
    """The column names, checked."""
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise DataError(f"{path} begins with a blank line; its first line must name the columns.")
    if all(_number(name) is not None for name in names):
        raise DataError(f"{path}, line 1: only numbers ({shown(','.join(names))}); add a line that names the columns.")
    if len(names) < 2:
        hint = " It looks separated by semicolons or tabs: save it with commas." if set(";\t") & set(names[0]) else ""
        raise DataError(f"{path}, line 1: one column {shown(names[0])}; features and a label need at least two.{hint}")
    seen = set()
    for position, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{path}, line 1: column {position} has no name; give it one.")
        if name in seen:
            raise DataError(f"{path}, line 1: two columns are named {shown(name)}; rename one.")
        seen.add(name)
    return names


def _label_column(names: list[str], path: Path, label: str | None) -> tuple[int, bool]:
    """Where the labels are, and whether that is a guess."""
    if label is not None:
        if label not in names:
            known = ", ".join(shown(name) for name in names[:10]) + (", …" if len(names) > 10 else "")
            raise DataError(f"{path} has no column {shown(label)} for the labels; its columns are {known}.")
        return names.index(label), False
    folded = [name.casefold() for name in names]
    return next(((folded.index(name), False) for name in LABEL_NAMES if name in folded), (len(names) - 1, True))


def _numbers(cells: list[str], path: Path, line: int, names: list[str], column: int) -> list[float]:
    """The features of one row."""
    try:
        numbers = list(map(float, cells))
    except ValueError:
        numbers = []
    joined = "".join(cells)
    # float() also takes 1_000 and digits of other scripts, which in a table are mistakes.
    if numbers and joined.isascii() and "_" not in joined:
        return numbers
    for position, cell in enumerate(cells):
        if _number(cell) is None:
            name = shown(_feature_name(names, column, position))
            what = "an empty cell" if not cell.strip() else f"{shown(cell)} is not a number"
            raise DataError(f"{path}, line {line}, column {name}: {what}; features must be numbers. Correct the line.")
    return numbers


def _labels(words: list[str], lines: "array[int]", place: str, guessed: bool) -> tuple[Array, tuple[str, ...] | None]:
    """Labels as numbers, and the classes' names where they were words."""
    if "" in words:
        raise DataError(f"{place}, line {lines[words.index('')]}: the label is missing; fill it in or remove the line.")
    numbers = [_number(word) for word in words]
    known = [number for number in numbers if number is not None]
    if len(known) == len(words):
        for position, number in enumerate(known):
            if not math.isfinite(number) or abs(number) > _LARGEST_EXACT:
                raise DataError(f"{place}, line {lines[position]}: the label {words[position]} is not usable.")
        whole = all(number.is_integer() for number in known)
        return np.array(known, np.int64 if whole else np.float32), None
    odd = numbers.index(None)
    if guessed:
        raise DataError(
            f"{place}, line {lines[odd]}: {shown(words[odd])} is not a number. The last column was taken for the "
            f"labels because none is called {', '.join(LABEL_NAMES)}; name the label column."
        )
    if known:
        raise DataError(
            f"{place}: line {lines[odd]} has the word {shown(words[odd])} but other lines have numbers; "
            "use words or numbers throughout."
        )
    classes = sorted(set(words))
    index = {word: number for number, word in enumerate(classes)}
    return np.array([index[word] for word in words], np.int64), tuple(classes)


def _feature_name(names: list[str], column: int, position: int) -> str:
    """The name of the feature at `position`, counted without the label column."""
    return names[position + (position >= column)]


def _number(text: str) -> float | None:
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None
