"""What a step frees stays with the process: the next one asks for the same again."""

import ctypes

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
LARGEST_KEPT_BLOCK = 32 << 20  # the most that glibc takes
MOST_KEPT = 1 << 30
# A thread's memory comes in heaps of so much; one that is empty goes unless it is to stay as padding.
HEAP = 64 << 20


def keep_freed_memory() -> bool:
    """Let the C library keep up to 1 GiB of what this process frees; returns whether it can.

    Ray Train runs the loop in a thread other than the main one. There, glibc gives what a step frees back to
    the system, and the next step waits for thousands of pages to be mapped and cleared again. Tensors of a
    CPU come from this allocator; those of a GPU have PyTorch's own, which keeps them anyway.

    Elsewhere than with glibc nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = {_MMAP_THRESHOLD: LARGEST_KEPT_BLOCK, _TRIM_THRESHOLD: MOST_KEPT, _TOP_PAD: HEAP}
    return all(mallopt(name, value) for name, value in wanted.items())
