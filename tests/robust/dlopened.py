#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# If this fails, python cannot load the library by ctypes and use it beside its own heap.
import ctypes
import sys
import threading

lib = ctypes.CDLL(sys.argv[1])
lib.malloc.restype = lib.realloc.restype = ctypes.c_void_p
lib.malloc.argtypes = [ctypes.c_size_t]
lib.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
lib.free.argtypes = [ctypes.c_void_p]


def use():
    for n in list(range(1, 3000, 37)) + [40000, 1 << 20]:
        p = lib.malloc(n)
        ctypes.memset(p, 0x42, n)
        p = lib.realloc(p, 2 * n)
        assert ctypes.string_at(p, n) == b"\x42" * n
        lib.free(p)


use()
threads = [threading.Thread(target=use) for _ in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("done")
