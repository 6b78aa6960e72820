# SPDX-License-Identifier: MIT
import os
import random

from world import Failure, program

BASES = 'ACGT'
COMPLEMENT = str.maketrans('ACGT', 'TGCA')


def sequences(folder):
	"""Transcripts that share exons, and reads of them with a few errors."""
	rng = random.Random(21)
	exons = [''.join(rng.choices(BASES, k=rng.randrange(150, 600))) for _ in range(300)]
	transcripts = [''.join(rng.sample(exons, rng.randrange(2, 6))) for _ in range(400)]
	with open(os.path.join(folder, 'transcripts.fa'), 'w') as f:
		f.writelines(f'>transcript{i}\n{t}\n' for i, t in enumerate(transcripts))
	with open(os.path.join(folder, 'reads.fa'), 'w') as f:
		for i in range(60000):
			t = transcripts[min(int(rng.expovariate(0.01)), len(transcripts) - 1)]
			at = rng.randrange(len(t) - 100)
			read = list(t[at:at + 100])
			if i % 3 == 0:
				read[rng.randrange(100)] = rng.choice(BASES)
			read = ''.join(read)
			f.write(f'>read{i}\n{read.translate(COMPLEMENT)[::-1] if i % 2 else read}\n')


def counts(path):
	"""Reads of each transcript, rounded: the last digits depend on the order of threads."""
	with open(path) as f:
		rows = [line.split('\t') for line in f][1:]
	return {row[0]: float(row[4]) for row in rows}


@program('salmon', needs={'/usr/bin/salmon': 'salmon'}, prepare=sequences, timeout=240, linked=True)
def salmon(w):
	"""Builds an index of transcripts by two threads and counts reads by two threads."""
	w.run('salmon', 'index', '-t', w.input('transcripts.fa'), '-i', w.path('index'), '-k', '31', '-p', '2', compare=False)
	w.run('salmon', 'quant', '-i', w.path('index'), '-l', 'U', '-r', w.input('reads.fa'), '-o', w.path('out'), '-p', '2', compare=False)
	found = counts(w.path('out', 'quant.sf'))
	w.record('transcripts', sorted(found))
	w.record('reads that found a place', round(sum(found.values()), -2))
	if not 50000 < sum(found.values()) <= 60001:
		raise Failure(f'salmon: {sum(found.values())} of 60000 reads found a place')
