#!/bin/bash
# SPDX-License-Identifier: MIT
# Workload: bash's own allocation (arrays, strings, command substitution) and many short processes.
set -euo pipefail

sieve() {
	local -a composite=()
	local i j n=$1 primes=0
	for ((i = 2; i <= n; i++)); do
		if [[ -z ${composite[i]:-} ]]; then
			primes=$((primes + 1))
			for ((j = i * i; j <= n; j += i)); do composite[j]=1; done
		fi
	done
	echo "primes up to $n: $primes"
}

count_words() {
	local -A seen=()
	local word i
	for ((i = 0; i < 20000; i++)); do
		word=w$(((i * 7919 + 13) % 3001))
		seen[$word]=$((${seen[$word]:-0} + 1))
	done
	for word in "${!seen[@]}"; do echo "$word ${seen[$word]}"; done | sort | sed -n '1~100p'
}

grow_string() {
	local s= i
	for ((i = 0; i < 3000; i++)); do s+="piece-$i,"; done
	local without=${s//piece/}
	echo "length ${#s}, without ${#without}, cut ${s:5000:30}"
	IFS=, read -ra parts <<<"$s"
	echo "parts ${#parts[@]} last ${parts[-1]}"
}

subshells() {
	local i total=0
	for ((i = 0; i < 600; i++)); do
		total=$((total + $(echo $((i * i)))))
	done
	echo "sum of squares $total"
	for ((i = 0; i < 60; i++)); do
		(trap 'echo "left $i"' EXIT; printf '%s\n' {a..z}{0..9} | sort -r | grep -c "[aeiou]$((i % 10))")
	done
}

talk() {
	coproc UPPER { while read -r line; do echo "${line^^}"; done; }
	local i answer
	for ((i = 0; i < 2000; i++)); do
		echo "message $i" >&"${UPPER[1]}"
		read -r answer <&"${UPPER[0]}"
	done
	echo "$answer"
	eval "exec ${UPPER[1]}>&-"
	wait "$UPPER_PID"
}

background() {
	local -a pids=()
	local i
	for ((i = 0; i < 50; i++)); do
		(mapfile -t lines < <(seq 1 500); exit $((${#lines[@]} % 251 + i % 2))) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || echo -n "$? "; done
	echo
}

sieve 60000
count_words
grow_string
subshells
talk
background
