# SPDX-License-Identifier: MIT
# What ./quickstart runs under perl: a large table of words, built and thrown away several times.
use strict;
use warnings;

my (%seen, $sum);
for my $round (1 .. 4) {
	my @words = map { join '-', 'word', $_ % 997, $_ x ($_ % 5 + 1) } 1 .. 60_000;
	push @{$seen{substr $_, 0, 12}}, [split /-/] for @words;
	$sum += @$_ for values %seen;
	%seen = () if $round % 2;
}
print "$sum\n";
