"""Keep freed memory: activations of a forward pass are freed and asked for again, and page faults cost time.

glibc gives large blocks back to the kernel at once by default. Kept, I3D ran 1.05 to 1.2 times faster on two cores, for
some 100 to 200 MB more. Elsewhere than on glibc this does nothing.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Ask the C library to keep large freed blocks; True if it is glibc and agreed."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    # One arena: those of other threads cannot grow past 64 MiB and would map and unmap every large block.
    wanted = {_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: _BYTES, _M_TRIM_THRESHOLD: 2 * _BYTES - 1, _M_TOP_PAD: 16 << 20}
    return all(libc.mallopt(option, value) for option, value in wanted.items())
