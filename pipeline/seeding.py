"""Random generators that are a pure function of a seed and of what they are for.

A stream is named by a path such as ``("augment", step, slot)``. Streams of different paths are
independent, so that the number of workers, their order and a restart change nothing.
"""

import hashlib

import numpy as np
import torch


def _key(seed: int, path: tuple[int | str, ...], bits: int) -> int:
    """Hash a seed and a path into an unsigned key; 1 and "1" are different parts."""
    text = "\x1f".join(f"{type(part).__name__[0]}{part}" for part in _plain((seed, *path)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=bits // 8).digest(), "little")


def _plain(path: tuple) -> tuple[int | str, ...]:
    """Turn numpy integers into int, so that they name the same stream."""
    return tuple(part if isinstance(part, str) else int(part) for part in path)


def rng(seed: int, *path: int | str) -> np.random.Generator:
    """Return the numpy generator of the stream that seed and path name.

    Args:
        seed: the run's seed.
        path: what the stream is for, most general part first.
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, path, 128)))


def torch_generator(
    seed: int, *path: int | str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the torch generator of the stream that seed and path name.

    Args:
        seed: the run's seed.
        path: what the stream is for, most general part first.
        device: where the numbers are drawn; streams differ between kinds of device.
    """
    generator = torch.Generator(device=device)
    return generator.manual_seed(_key(seed, path, 64) & (2**63 - 1))
