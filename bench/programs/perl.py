# SPDX-License-Identifier: MIT
"""perl: a report over log lines. Hashes of arrays, strings that grow, regular expressions; every scalar's text is a malloc of its own."""

from common.runs import TIMED, Program, to_the_end


def work(run):
    return to_the_end(run, ["/usr/bin/perl", run.beside("work.pl"), run.choose("10", "1")], env={"PERL_HASH_SEED": "0"}, rests=True)


PROGRAMS = [Program("perl", work, {"/usr/bin/perl": "perl-base", **TIMED})]
