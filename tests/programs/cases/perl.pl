#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Workload: perl's scalars, hashes and arrays; ithreads, which clone the whole interpreter; fork.
use strict;
use warnings;
use threads;
use Digest::SHA qw(sha256_hex);

my $state = 12345;
sub next_random { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return $state }

sub words {
	my ($n) = @_;
	my %count;
	$count{"w" . (next_random() % 20000)}++ for 1 .. $n;
	my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
	return join ",", map { "$_=$count{$_}" } @top;
}

sub grow {
	my $text = "";
	$text .= "line $_: " . ("x" x ($_ % 97)) . "\n" for 1 .. 60000;
	my @lines = split /\n/, $text;
	(my $changed = $text) =~ s/(\d+): (x*)/$2$1/g;
	return sha256_hex($changed) . " " . scalar(@lines);
}

sub matrix {
	my ($n) = @_;
	my (@a, @b, @c);
	for my $i (0 .. $n - 1) { for my $j (0 .. $n - 1) { $a[$i][$j] = $i + $j; $b[$i][$j] = $i - $j } }
	for my $i (0 .. $n - 1) { for my $j (0 .. $n - 1) {
		my $s = 0;
		$s += $a[$i][$_] * $b[$_][$j] for 0 .. $n - 1;
		$c[$i][$j] = $s;
	} }
	return $c[$n / 2][$n / 3];
}

sub linked {
	my $list;
	$list = { next => $list, value => [ $_, "v$_" ] } for 1 .. 100000;
	my $sum = 0;
	while ($list) { $sum += $list->{value}[0]; $list = $list->{next} }
	return $sum;
}

sub children {
	my @read;
	for my $i (1 .. 20) {
		pipe(my $r, my $w) or die "pipe: $!";
		my $pid = fork() // die "fork: $!";
		if (!$pid) { print $w words(1000 + $i); close $w; exit 0 }
		close $w;
		push @read, [ $pid, $r ];
	}
	my $all = "";
	for (@read) { local $/; $all .= readline($_->[1]); waitpid $_->[0], 0; die "child: $?" if $? }
	return sha256_hex($all);
}

print words(300000), "\n", grow(), "\n", matrix(90), "\n", linked(), "\n", children(), "\n";
my @threads = map { my $n = $_; threads->create(sub { words(20000 + $n) . " " . linked() }) } 1 .. 6;
print $_->join(), "\n" for @threads;
