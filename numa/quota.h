/* SPDX-License-Identifier: MIT
 *
 * quota — how many CPUs' worth of time the process's cgroups allow it.
 *
 * Reads /proc/self/cgroup, /proc/self/mountinfo and the limits of each cgroup
 * on the way up, v1 or v2, with system calls and 5 KiB of stack: no memory, no
 * locks, errno is kept. What cannot be read or understood counts as no limit.
 */
#ifndef ASH_NUMA_QUOTA_H
#define ASH_NUMA_QUOTA_H

#include <limits.h>

#define NO_QUOTA UINT_MAX

/* CPUs that the quota allows, rounded up, at least 1; NO_QUOTA when there is
 * none. `root` stands before every path that is opened: "" but in tests. */
unsigned ash_cpu_quota(const char *root);

#endif
