/* SPDX-License-Identifier: MIT */
#include "base/print.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/identity.h"
#include "base/lock.h"
#include "base/os.h"
#include "base/symbols.h"

struct out {
	char *buf;
	size_t size;
	size_t len;
};

static void out_char(struct out *out, char c)
{
	if (out->len + 1 < out->size)
		out->buf[out->len++] = c;
}

static void out_padded(struct out *out, const char *text, size_t len, size_t width, bool left)
{
	size_t pad = width > len ? width - len : 0;

	for (size_t i = 0; !left && i < pad; i++)
		out_char(out, ' ');
	for (size_t i = 0; i < len; i++)
		out_char(out, text[i]);
	for (size_t i = 0; left && i < pad; i++)
		out_char(out, ' ');
}

static void out_number(struct out *out, uint64_t value, unsigned base, const char *prefix, size_t width, bool left)
{
	char digits[2 + 20 + 1];
	char *end = digits + sizeof(digits), *p = end;
	size_t prefix_len = strlen(prefix);

	do {
		*--p = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	p -= prefix_len;
	memcpy(p, prefix, prefix_len);
	out_padded(out, p, (size_t)(end - p), width, left);
}

static void out_signed(struct out *out, int64_t value, size_t width, bool left)
{
	if (value < 0)
		out_number(out, 0 - (uint64_t)value, 10, "-", width, left);
	else
		out_number(out, (uint64_t)value, 10, "", width, left);
}

/* One conversion; returns the character after it. */
static const char *out_conversion(struct out *out, const char *f, va_list *args)
{
	bool left = *f == '-', wide = false;
	size_t width = 0;

	f += left;
	while (*f >= '0' && *f <= '9')
		width = width * 10 + (size_t)(*f++ - '0');
	while (*f == 'z' || *f == 'l') {
		wide = true;
		f++;
	}
	switch (*f) {
	case 's': {
		const char *text = va_arg(*args, const char *);

		out_padded(out, text, strlen(text), width, left);
		break;
	}
	case 'u':
		out_number(out, wide ? va_arg(*args, size_t) : va_arg(*args, unsigned), 10, "", width, left);
		break;
	case 'd':
		out_signed(out, wide ? va_arg(*args, ptrdiff_t) : va_arg(*args, int), width, left);
		break;
	case 'p':
		out_number(out, (uintptr_t)va_arg(*args, void *), 16, "0x", width, left);
		break;
	case 'c':
		out_char(out, (char)va_arg(*args, int));
		break;
	default:
		out_char(out, *f);
		break;
	}
	return *f ? f + 1 : f;
}

size_t ash_vformat(char *buf, size_t size, const char *format, va_list args)
{
	struct out out = {buf, size, 0};
	va_list copy;

	va_copy(copy, args);
	for (const char *f = format; *f;) {
		if (*f == '%') {
			f = out_conversion(&out, f + 1, &copy);
		} else {
			out_char(&out, *f++);
		}
	}
	va_end(copy);
	buf[out.len] = '\0';
	return out.len;
}

size_t ash_format(char *buf, size_t size, const char *format, ...)
{
	va_list args;
	size_t len;

	va_start(args, format);
	len = ash_vformat(buf, size, format, args);
	va_end(args);
	return len;
}

/* The program's function may allocate, which with a lock held would wait for ever. */
static void tell(const char *line, size_t len)
{
	if (malloc_message && !ash_locks_held)
		malloc_message(NULL, line);
	else
		ash_os_write(2, line, len);
}

void ash_message_bare(const char *line)
{
	char buf[ASH_LINE_MAX];

	tell(buf, ash_format(buf, sizeof(buf), "%s\n", line));
}

void ash_message(const char *format, ...)
{
	char buf[ASH_LINE_MAX];
	va_list args;
	size_t len = strlen(ash_message_prefix);

	memcpy(buf, ash_message_prefix, len);
	va_start(args, format);
	len += ash_vformat(buf + len, sizeof(buf) - len - 1, format, args);
	va_end(args);
	buf[len++] = '\n';
	buf[len] = '\0';
	tell(buf, len);
}
