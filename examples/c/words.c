/* SPDX-License-Identifier: MIT
 *
 * words — an ordinary program that knows nothing of ashlar: it prints the most
 * frequent words of its input, and how often each occurs.
 *
 *   LD_PRELOAD=libashlar.so.1 ./words < /usr/share/common-licenses/GPL-3
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 5 };

struct word {
	char *text;
	unsigned long times;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct word *)a)->text, ((const struct word *)b)->text);
}

static int by_times(const void *a, const void *b)
{
	const struct word *x = a, *y = b;

	if (x->times != y->times)
		return x->times < y->times ? 1 : -1;
	return by_text(a, b);
}

static void lower(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)tolower((unsigned char)*text);
}

/* Reads every word of stdin: one string and one array slot each. */
static struct word *read_words(size_t *count)
{
	struct word *words = NULL;
	size_t room = 0;
	char *text;

	*count = 0;
	(void)!scanf("%*[^A-Za-z]");
	while (scanf("%m[A-Za-z]%*[^A-Za-z]", &text) == 1) {
		if (*count == room) {
			room = room ? 2 * room : 16;
			words = reallocarray(words, room, sizeof(*words));
			if (words == NULL) {
				perror("words");
				exit(1);
			}
		}
		lower(text);
		words[(*count)++] = (struct word){text, 1};
	}
	return words;
}

/* Makes one entry of equal neighbours and frees the spare strings. */
static size_t merge(struct word *words, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && by_text(&words[kept - 1], &words[i]) == 0) {
			words[kept - 1].times++;
			free(words[i].text);
		} else {
			words[kept++] = words[i];
		}
	}
	return kept;
}

int main(void)
{
	size_t count, distinct;
	struct word *words = read_words(&count);

	if (count == 0)
		return 0;
	qsort(words, count, sizeof(*words), by_text);
	distinct = merge(words, count);
	qsort(words, distinct, sizeof(*words), by_times);
	for (size_t i = 0; i < distinct && i < SHOWN; i++)
		printf("%7lu %s\n", words[i].times, words[i].text);
	for (size_t i = 0; i < distinct; i++)
		free(words[i].text);
	free(words);
	return 0;
}
