/* SPDX-License-Identifier: MIT
 *
 * expect — ends the program with one line where something is not as it should
 * be. Writes by write(2) from the stack, allocates nothing.
 */
#ifndef PAGES_EXPECT_H
#define PAGES_EXPECT_H

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define note(...) \
	do { \
		char line_[512]; \
		int length_ = snprintf(line_, sizeof line_ - 1, __VA_ARGS__); \
		line_[length_] = '\n'; \
		if (write(STDERR_FILENO, line_, (size_t)length_ + 1) < 0) \
			_exit(3); \
	} while (0)

#define EXPECT(condition) \
	do { \
		if (!(condition)) { \
			note("%s:%d: not so: %s (errno %d)", __FILE__, __LINE__, #condition, errno); \
			_exit(1); \
		} \
	} while (0)

#define EXPECT_EQUAL(is, should) \
	do { \
		size_t is_ = (size_t)(is), should_ = (size_t)(should); \
		if (is_ != should_) { \
			note("%s:%d: %s is %zu, should be %s = %zu", __FILE__, __LINE__, #is, is_, #should, should_); \
			_exit(1); \
		} \
	} while (0)

#endif
