"""Work spread over processes, results in the order of the items."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    start: Callable[..., None],
    arguments: tuple = (),
) -> Iterator[Result]:
    """Yield function(item) of every item, in order.

    Args:
        function: a module's function that reads what `start` left in its module.
        items: what to work on; they and the results travel between processes.
        workers: processes; up to one works in this process.
        start: called once in each process, before its first item.
        arguments: of `start`.
    """
    if workers <= 1:
        start(*arguments)
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(workers, get_context("fork"), _begin, (start, arguments))
    try:
        yield from pool.map(partial(_call, function), items)
    finally:
        pool.shutdown(cancel_futures=True)


_failure: Exception | None = None  # of this process's start


def _begin(start: Callable[..., None], arguments: tuple) -> None:
    """Start a process; an error waits for the first item, whose caller can see it."""
    global _failure
    try:
        start(*arguments)
    except Exception as error:  # the pool would only say that a process ended
        _failure = error


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    if _failure is not None:
        raise _failure
    return function(item)


def one_thread() -> None:
    """Keep the numeric libraries of this process to one thread: processes are the parallelism."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
