# SPDX-License-Identifier: MIT
# The work of bench/programs/perl.py; the argument is how much. Prints "done", idles until its standard input ends.
use strict;
use warnings;

my $times = $ARGV[0];
my $state = 42;
sub number { my $n = shift; $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $n; }

# A log, line by line.
sub report {
	my $count = shift;
	my (%by_host, %words);
	for my $i (1 .. $count) {
		my $line = sprintf "host%d 2026-01-%02d GET /page/%d?%s %d", number(200), number(28) + 1, number(5000), "q" x number(60), number(90000);
		next unless $line =~ m{^(\S+) (\S+) GET (/\S+?)\?(\S*) (\d+)$};
		push @{ $by_host{$1} }, { day => $2, path => $3, query => $4, bytes => $5 };
		$words{$_}++ for split m{[ /?]}, $line;
	}
	my $sum = 0;
	for my $host (sort keys %by_host) {
		my @sorted = sort { $a->{bytes} <=> $b->{bytes} || $a->{path} cmp $b->{path} } @{ $by_host{$host} };
		$sum += $sorted[ @sorted / 2 ]{bytes};
	}
	return $sum + keys %words;
}

# Buffers that grow by appending, and a text that is rewritten as a whole.
sub buffers {
	my $count = shift;
	my @buffers = ('') x 40;
	$buffers[number(40)] .= "$_:" . 'y' x number(60) for 1 .. $count;
	my $text = join "\n", @buffers;
	$text =~ s/(y+)/length($1)/ge;
	return length $text;
}

# Records that are replaced at random.
sub churn {
	my ($size, $count) = @_;
	my @live;
	$live[number($size)] = { number => $_, data => 'k' x number(300), tags => [ 1 .. number(8) ] } for 1 .. $count;
	return scalar @live;
}

report(9000 * $times);
buffers(15000 * $times);
churn(20000, 12000 * $times);
$| = 1;
print "done\n";
1 while <STDIN>;
