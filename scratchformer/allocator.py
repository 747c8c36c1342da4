import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST_MMAP_THRESHOLD = 32 * 2**20


def keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks for the next allocation instead of handing them back to the kernel.

    Otherwise every new activation faults in page by page, which costs more than computing it. All threads share one
    arena, because further arenas return their heaps to the kernel whatever the thresholds are. The settings last until
    the process ends. With another C library than glibc the function does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(M_ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Hands blocks that were freed back to the kernel, where they lie between others too. Only glibc is asked."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
