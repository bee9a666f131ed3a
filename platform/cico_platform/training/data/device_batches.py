"""Batches on their way to a GPU: built in a thread, copied on a stream of their own, one step ahead.

On a CPU a batch is built when it is asked for: the network takes all cores anyway.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

About = TypeVar("About")
Tensors = Sequence[Tensor | None]
# Batches that are built before they are asked for.
AHEAD = 2
END: Any = object()


def built_ahead(
    batches: Iterator[tuple[About, Tensors]], device: torch.device
) -> Iterator[tuple[About, Tensors]]:
    """Take batches in a thread before they are asked for, into memory from which a GPU copies by itself.

    An error of the iterator is raised where its batch would come.
    """
    if device.type != "cuda":
        yield from batches
        return
    pinned = ((about, _pinned(tensors)) for about, tensors in batches)
    yield from taken_ahead(pinned, AHEAD)


def taken_ahead(items: Iterator[About], ahead: int) -> Iterator[About]:
    """Take items in a thread, up to so many before they are asked for."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        pending = deque(pool.submit(next, items, END) for _ in range(ahead))
        while (item := pending.popleft().result()) is not END:
            pending.append(pool.submit(next, items, END))
            yield item


def on_device(
    batches: Iterable[tuple[About, Tensors]], device: torch.device
) -> Iterator[tuple[About, tuple[Any, ...]]]:
    """Copy batches to a device; to a GPU, each while the one before is computed with."""
    if device.type != "cuda":
        for about, tensors in batches:
            yield about, _sent(tensors, device)
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    waiting = deque[tuple[About, tuple[Any, ...], torch.cuda.Event]]()
    for about, tensors in batches:
        with torch.cuda.stream(stream):
            sent = _sent(tensors, device)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(stream)
        waiting.append((about, sent, done))
        if len(waiting) > 1:
            yield _received(*waiting.popleft(), device)
    while waiting:
        yield _received(*waiting.popleft(), device)


def _pinned(tensors: Tensors) -> Tensors:
    return tuple(None if tensor is None else tensor.pin_memory() for tensor in tensors)


def _sent(tensors: Tensors, device: torch.device) -> tuple[Any, ...]:
    return tuple(None if tensor is None else tensor.to(device, non_blocking=True) for tensor in tensors)


def _received(
    about: About, tensors: tuple[Any, ...], done: torch.cuda.Event, device: torch.device
) -> tuple[About, tuple[Any, ...]]:
    """Let the computation wait for the copy, and the copy's memory for the computation."""
    current = torch.cuda.current_stream(device)
    current.wait_event(done)
    for tensor in tensors:
        if tensor is not None:
            tensor.record_stream(current)
    return about, tensors
