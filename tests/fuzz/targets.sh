# SPDX-License-Identifier: MIT
# For run.sh: what the linker leads to a target's own functions (as in meson.build), how it is compiled, how long inputs get.
wraps() {
	case $1 in
	conf) echo -Wl,--wrap=ash_os_write -Wl,--wrap=ash_os_secure ;;
	pool) echo -Wl,--wrap=madvise ;;
	realloc) echo -Wl,--wrap=ash_os_now_ms ;;
	esac
}

# Filling and comparing the library's objects is most of this target's work: neither sanitizers nor the fuzzer see anything in it.
own_flags() {
	case $1 in
	realloc) echo -O2 -fno-sanitize=fuzzer-no-link,address,undefined ;;
	esac
}

max_len() {
	case $1 in
	conf) echo 200 ;;
	pool | realloc) echo 300 ;;
	*) echo 200 ;;
	esac
}
