"""The exceptions that a user can meet, each with the exit code that the command line ends with.

Every message is one paragraph that says what is wrong, where, and what to do about it, in the user's own names.
Our own mistakes are `assert`s, never these. This module knows nothing of the rest of the package.
"""


class SymgradError(Exception):
    """What every error of this package derives from; `exit_code` is the command line's (sysexits.h)."""

    exit_code = 1


class ExpressionError(SymgradError):
    """An expression that cannot be built: a bad name, a wrong argument, an operation that does not exist."""

    exit_code = 65


class ShapeError(ExpressionError):
    """The shapes of two operands do not fit together."""


class GradientError(SymgradError):
    """A derivative that does not exist or that was asked with respect to something unrelated."""

    exit_code = 65


class BindingError(SymgradError):
    """An array given for a name is missing, unknown, or has the wrong shape, kind or values."""

    exit_code = 65


class CompileError(SymgradError):
    """An expression that has no kernel; the message names the operation."""


class DataError(SymgradError):
    """A data file that is damaged, of another format, or whose contents do not fit the model."""

    exit_code = 65


class ModelError(SymgradError):
    """A model file or a checkpoint that cannot be used; the message names file and reason."""

    exit_code = 65


class NotFoundError(SymgradError):
    """An input file, a model name or a name in an expression that does not exist."""

    exit_code = 66


class OutputError(SymgradError):
    """A file or folder that cannot be created."""

    exit_code = 73


class StorageError(SymgradError):
    """Reading or writing failed half-way: a full disk, an I/O error. What was saved before is intact."""

    exit_code = 74


class ConfigurationError(SymgradError):
    """An option whose value makes no sense: a negative batch size, an unknown optimizer."""

    exit_code = 78


class DivergenceError(SymgradError):
    """Training met a loss that is NaN or infinite; the message names epoch, step and the last good checkpoint."""
