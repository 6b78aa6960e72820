#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""A function that the library calls and that can fail is either led to inject.c or listed here with its reason.

Without this, a new call would never be refused by any test, and nobody would see it.

    imports.py LIBASHLAR_A WRAPPED...
"""
import re
import subprocess
import sys

# What cannot fail, and what fails only by a mistake of the caller.
HARMLESS = {
    'memory and strings': 'memchr memcmp memcpy memmove memset strchr strcmp strcpy strcspn strlen strncmp strncpy strspn strstr strrchr strpbrk',
    'no call of the system': 'abort getauxval __errno_location sigfillset sigemptyset sigaddset pthread_attr_init '
                             'pthread_attr_destroy pthread_attr_setdetachstate pthread_getspecific pthread_self',
    'data, and what may be missing': 'environ __environ __libc_stack_end __rseq_offset __rseq_size __libc_single_threaded malloc_conf __ehdr_start dlsym '
                                     '_ZSt15get_new_handlerv _ZSt17__throw_bad_allocv',
    'the compiler\'s own': '_GLOBAL_OFFSET_TABLE_ __popcountdi2 __stack_chk_fail __tls_get_addr',
    'of a sanitizer or a coverage tool': r'__(asan|ubsan|tsan|msan|sanitizer|gcov|llvm)_\w+',
    'writes to a FILE of the caller\'s: it tells the caller of its errors, as the C library\'s own malloc_info does': 'fwrite',
}


def names(archive, *options):
    listing = subprocess.run(['nm', '-P', *options, archive], check=True, capture_output=True, text=True).stdout
    return {line.split()[0] for line in listing.splitlines() if len(line.split()) > 1}


def main():
    archive, *wrapped = sys.argv[1:]
    harmless = re.compile('|'.join(name for reason in HARMLESS.values() for name in reason.split()))
    imports = names(archive, '-u') - names(archive, '--defined-only')
    if 'syscall' not in imports:
        sys.exit(f'{archive}: nm shows no import of syscall: this test would see nothing')
    unknown = sorted(name for name in imports - set(wrapped) if not harmless.fullmatch(name))
    for name in unknown:
        print(f'{name}: the library calls it and no test refuses it: lead it to tests/faults/inject.c (kinds.def, meson.build), '
              'or say here why it cannot fail')
    sys.exit(1 if unknown else 0)


if __name__ == '__main__':
    main()
