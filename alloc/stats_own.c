/* SPDX-License-Identifier: MIT */
#include "alloc/stats_own.h"

#include <ashlar/ashlar.h>

#include "alloc/stats_rows.h"

void ash_stats_put_summary(struct report *r, const struct ashlar_stats *s)
{
	ash_report_put(r, "%14zu bytes held from the system\n%14zu bytes in use\n\n", s->held, s->in_use);
	ash_report_put(r, "%14zu bytes in use by small objects\n%14zu bytes in use by large objects\n", s->small_in_use,
		       s->large_in_use);
	ash_report_put(r, "%14zu bytes free in caches of %u threads and in depots\n", s->cached, s->nthreads);
	ash_report_put(r, "%14zu bytes in slabs, for %u arenas\n", s->slab, s->narenas);
	ash_report_put(r, "%14zu bytes dirty: free, kept for reuse\n", s->dirty);
	ash_report_put(r, "%14zu bytes of metadata\n%14zu bytes of address space reserved\n", s->metadata, s->reserved);
	ash_report_put(r, "%14zu bytes given back so far, by %zu calls in %zu ns\n", s->purged, s->purge_calls,
		       s->purge_ns);
}

static void put_state(struct report *r, const char *name, const struct ashlar_state *state)
{
	if (state->resident == ASHLAR_UNKNOWN)
		ash_report_put(r, "%12s %14zu %14s\n", name, state->bytes, "unknown");
	else
		ash_report_put(r, "%12s %14zu %14zu\n", name, state->bytes, state->resident);
}

/* What was touched is resident, or the program has never written to it. */
static void put_untouched(struct report *r, const struct ashlar_pages *p)
{
	static const char *const by[] = {"PAGEMAP_SCAN", "pagemap", "mincore"};
	size_t resident = p->meta.resident + p->slab_active.resident + p->slab_idle.resident + p->run_live.resident +
			  p->dirty.resident;

	if (p->resident_by != ASHLAR_BY_NOBODY)
		ash_report_put(r, "touched %zu = resident %zu + never written %zd (by %s)\n", p->touched, resident,
			       (ptrdiff_t)(p->touched - resident), by[p->resident_by]);
}

void ash_stats_put_pages(struct report *r)
{
	struct ashlar_state all = {0, 0};
	struct ashlar_pages p;

	ashlar_pages(&p, sizeof(p));
	ash_report_put(r, "\n%12s %14s %14s\n", "pages", "bytes", "resident");
	for (unsigned i = 0; i < STATS_STATES; i++) {
		const struct ashlar_state *state = ash_stats_state(&p, i);

		put_state(r, ash_stats_states[i], state);
		all.bytes += state->bytes;
		all.resident += state->resident;
	}
	if (p.resident_by == ASHLAR_BY_NOBODY)
		all.resident = ASHLAR_UNKNOWN;
	put_state(r, "all", &all);
	put_untouched(r, &p);
	ash_report_put(r, "committed %zu = %zu + %zu + %zu + %zu + %zu (slab_active to clean), residual %zd\n",
		       p.committed, p.slab_active.bytes, p.slab_idle.bytes, p.run_live.bytes, p.dirty.bytes,
		       p.clean.bytes, ash_stats_residual(&p));
}

void ash_stats_own(struct report *r)
{
	struct ashlar_stats s;

	ashlar_stats(&s, sizeof(s));
	ash_report_put(r, "ashlar %s:\n", ashlar_version());
	ash_stats_put_summary(r, &s);
	ash_stats_put_pages(r);
	if (r->unreadable)
		ash_report_put(r, "%u of the values above could not be read and are shown as 0\n", r->unreadable);
}
