"""NumPy's own files, mapped: a stranger's is an array of the form that is asked for, or refused in
words.
"""

import tokenize
from pathlib import Path
from typing import Literal

import numpy as np


class NoArray(ValueError):
    """The file is no array, or one of another form."""


def mapped(path: Path, *, mode: Literal["r", "c"]) -> np.ndarray:
    """The array of an .npy file; nothing is unpickled, and no archive is opened, which `numpy.load`
    would do.

    Raises:
        NoArray: the file is none.
    """
    try:
        with np.errstate(over="raise"):  # a shape whose product wraps around
            return np.lib.format.open_memmap(path, mode=mode)
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        ArithmeticError,
        SyntaxError,
        tokenize.TokenError,
        RecursionError,
    ) as error:
        raise NoArray(
            str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        ) from error


def require_form(
    array: np.ndarray, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> np.ndarray:
    """The array where it is of this type and shape; None in the shape is any length.

    Raises:
        NoArray: it is of another.
    """
    fits = len(array.shape) == len(shape) and all(
        want in (None, got) for got, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted = " x ".join("n" if length is None else str(length) for length in shape)
        raise NoArray(
            f"{array.dtype} of shape {array.shape} in place of {np.dtype(dtype)}, {wanted}"
        )
    return array
