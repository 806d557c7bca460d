"""Progress of long steps: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(
    iterable: Iterable[Item], total: int | None, label: str, every: float = 10.0
) -> Iterator[Item]:
    """Yield the items of `iterable` and say on stderr how far it has come.

    Args:
        iterable: whatever is to be gone through.
        total: number of items; None takes `len(iterable)` where it has one.
        label: what the items are, for the reader.
        every: seconds between two lines in a log.
    """
    if total is None:
        total = len(iterable) if hasattr(iterable, "__len__") else None
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(iterable, total=total, desc=label, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every or done == total:
            last = now
            print(line(label, done, total, now - start), file=sys.stderr, flush=True)


def line(label: str, done: int, total: int | None, seconds: float) -> str:
    """Return one line such as `label 120/400 30% 12.3/s eta 23s`."""
    rate = done / max(seconds, 1e-9)
    if not total:
        return f"{label} {done} {rate:.1f}/s"
    eta = (total - done) / max(rate, 1e-9)
    return f"{label} {done}/{total} {100 * done // total}% {rate:.1f}/s eta {eta:.0f}s"
