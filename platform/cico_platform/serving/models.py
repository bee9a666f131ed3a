"""Models of the collections that are asked for, kept in memory by an encoder's process."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from cico_platform.index.serving_info import ServingInfo

# What is live, and what was live before or will be next.
MODELS_KEPT = 2
Loaded = TypeVar("Loaded")


class Models(Generic[Loaded]):
    """Models of the collections that are asked for; those of the latest two stay in memory."""

    def __init__(self, load: Callable[[ServingInfo], Loaded]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()

    def of(self, info: ServingInfo) -> Loaded:
        """The models that a collection was built with."""
        with self._lock:
            if info.collection not in self._loaded:
                self._loaded[info.collection] = self._load(info)
                while len(self._loaded) > MODELS_KEPT:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(info.collection)
            return self._loaded[info.collection]
