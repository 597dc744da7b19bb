"""Work by several threads: in order, not far ahead, and each result at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from asrkit.parallel import ahead


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_come_in_order_and_little_ahead(threads: int) -> None:
    asked = 0

    def numbers() -> Iterator[int]:
        nonlocal asked
        for number in range(20):
            asked += 1
            yield number

    for place, result in enumerate(ahead(lambda n: n * n, numbers(), threads)):
        assert result == place**2
        assert asked <= place + 1 + max(threads, 0)


def test_a_result_does_not_wait_for_those_after_it() -> None:
    go_on = threading.Event()

    def work(number: int) -> int:
        assert number == 0 or go_on.wait(20)
        return number

    results = ahead(work, [0, 1, 2], 1)
    assert next(results) == 0
    go_on.set()
    assert list(results) == [1, 2]


def test_an_exception_is_raised_in_its_place() -> None:
    results = ahead(lambda n: 6 // n, [3, 0, 1], 2)
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)
