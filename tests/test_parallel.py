import os

import pytest

from pipeline.errors import InputError
from pipeline.parallel import ordered_map

STATE = {}


def start(factor):
    STATE["factor"] = factor


def fail(factor):
    raise InputError("file", "version", 1, 2)


def times(item):
    return STATE["factor"] * item, os.getpid()


@pytest.mark.parametrize("workers", [1, 3])
def test_results_keep_the_order_of_the_items(workers):
    results = list(ordered_map(times, range(20), workers, start, (3,)))
    assert [value for value, _ in results] == [3 * item for item in range(20)]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_cannot_start_says_why(workers):
    with pytest.raises(InputError, match="version"):
        list(ordered_map(times, range(4), workers, fail, (3,)))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_fails_ends_the_map(workers):
    with pytest.raises(TypeError):
        list(ordered_map(times, [1, None, 3], workers, start, (3,)))
