/* SPDX-License-Identifier: MIT
 *
 * If this fails, a free that names another size than the object has goes unseen.
 *
 * wrong_size CALL SIZE FREED_AS
 */
#include "bug.h"

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t alignment, size_t size);
void *_Znwm(size_t size);
void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
void _ZdlPvm(void *p, size_t size);
void _ZdaPvm(void *p, size_t size);
void _ZdlPvmSt11align_val_t(void *p, size_t size, size_t alignment);

static void *earn(const char *call, void *p, size_t size, size_t freed_as)
{
	char detail[96];

	snprintf(detail, sizeof detail, "(freed as %zu bytes, allocated as %zu)", freed_as, size);
	announce_detail(call, "wrong size for", must(p), detail);
	return p;
}

int main(int argc, char **argv)
{
	const char *call = argv[1];
	size_t size = number(argv[2]), as = number(argv[argc - 1]);

	if (strcmp(call, "free_sized") == 0)
		free_sized(earn(call, malloc(size), size, as), as);
	else if (strcmp(call, "free_aligned_sized") == 0)
		free_aligned_sized(earn(call, aligned_alloc(64, size), size, as), 64, as);
	else if (strcmp(call, "delete") == 0)
		_ZdlPvm(earn("delete", _Znwm(size), size, as), as);
	else if (strcmp(call, "delete[]") == 0)
		_ZdaPvm(earn("delete", _Znwm(size), size, as), as);
	else if (strcmp(call, "aligned delete") == 0)
		_ZdlPvmSt11align_val_t(earn("delete", _ZnwmSt11align_val_t(size, 64), size, as), as, 64);
	else
		stop("unknown call");
	return survived();
}
