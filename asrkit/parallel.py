"""Ordered work by several threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(make: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """``make(x)`` of each of `items`, in order; computed by `threads` threads, up to `threads` items ahead.

    A result is yielded as soon as it and all earlier ones are ready. With 0 threads the caller's thread does
    the work, one item at a time.
    """
    if not threads:
        yield from map(make, items)
        return
    pool, waiting = ThreadPoolExecutor(threads), deque[Future[R]]()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            while waiting and (len(waiting) > threads or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
