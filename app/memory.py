"""Keeps glibc from giving every thread a heap of its own, which would multiply what a process holds."""

import ctypes

M_ARENA_MAX = -8
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""
ARENAS = 1


def few_arenas() -> None:
    """Let this process's threads share one heap: they share one interpreter lock anyway.

    Does nothing where the C library knows no such thing.
    """
    try:
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    except (AttributeError, OSError):
        return
