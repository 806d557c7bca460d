"""Reading MATLAB files (up to version 7.2) so that a damaged one ends in one clear line."""

from pathlib import Path

import numpy as np
import scipy.io

from pipeline.errors import InputError


def read_mat(path: Path, *keys: str) -> dict[str, np.ndarray]:
    """Return variables of a MATLAB file; structs and cells as arrays of objects.

    Args:
        path: the file.
        keys: the variables wanted.

    Raises:
        InputError: if the file is missing or damaged, or a variable is not in it.
    """
    if not path.is_file():
        raise InputError(path, "", "no such file", "a MATLAB file")
    try:
        content = scipy.io.loadmat(path, variable_names=keys)
    except NotImplementedError:
        raise InputError(path, "", "MATLAB version 7.3", "a file of version 5 to 7.2") from None
    except Exception as error:  # damaged bytes can end in any of them
        saw = f"damaged content ({str(error) or type(error).__name__})"
        raise InputError(path, "", saw, "a whole MATLAB file") from error
    for key in keys:
        if key not in content:
            names = ", ".join(name for name, *_ in scipy.io.whosmat(path)) or "nothing"
            raise InputError(path, key, f"only {names}", "this variable")
    return {key: content[key] for key in keys}


def field(struct: np.ndarray | np.void, name: str) -> np.ndarray | None:
    """Return a field of one struct; None where there is none, or where it is empty."""
    names = struct.dtype.names if isinstance(struct, np.ndarray | np.void) else None
    if not names or name not in names:
        return None
    value = struct[name]
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()  # a struct given as an array of one wraps each of its fields
    return value if isinstance(value, np.ndarray) and value.size else None
