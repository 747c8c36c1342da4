import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST_MMAP_THRESHOLD = 32 * 2**20


def keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks for the next allocation instead of handing them back to the kernel.

    Every fresh activation would otherwise fault in page by page, which costs more than computing it. One arena for
    all threads, because the extra arenas give their heaps back whatever the thresholds say. Lasts for the rest of
    the process. Where the C library is not glibc it does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(M_ARENA_MAX, 1)
