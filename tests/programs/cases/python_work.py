# SPDX-License-Identifier: MIT
"""Workload: many small objects, growing buffers, threads and processes of a typical script."""
import gc
import hashlib
import json
import multiprocessing
import random
import re
import threading
import zlib


class Node:
	def __init__(self, key):
		self.key, self.left, self.right, self.tags = key, None, None, [str(key), key * 2.5]


def tree(n, rng):
	root, depth = Node(rng.random()), 0
	for _ in range(n):
		key, node = rng.random(), root
		while True:
			side = 'left' if key < node.key else 'right'
			child = getattr(node, side)
			if child is None:
				setattr(node, side, Node(key))
				break
			node = child
	stack = [(root, 1)]
	while stack:
		node, d = stack.pop()
		depth = max(depth, d)
		stack += [(c, d + 1) for c in (node.left, node.right) if c]
	return depth


def documents(n, rng):
	rows = [{'id': i, 'name': f'user-{i}', 'tags': [f't{rng.randrange(99)}' for _ in range(5)], 'x': rng.random()} for i in range(n)]
	text = json.dumps(rows)
	again = json.loads(text)
	assert again == rows
	words = {}
	for word in re.findall(r'[a-z]+-?\d*', text):
		words[word] = words.get(word, 0) + 1
	return hashlib.sha256(text.encode()).hexdigest(), len(words)


def growing_buffers(rng):
	buffers = [bytearray() for _ in range(50)]
	for i in range(40000):
		buffers[rng.randrange(50)] += bytes(rng.randrange(1, 400))
	packed = [zlib.compress(bytes(b)) for b in buffers]
	return sum(map(len, buffers)), sum(map(len, packed))


def share(i):
	rng = random.Random(i)
	return documents(1200, rng)


def in_threads():
	results = [None] * 8

	def body(i):
		results[i] = share(i)
	threads = [threading.Thread(target=body, args=(i,)) for i in range(8)]
	for t in threads:
		t.start()
	for t in threads:
		t.join()
	return results


def main():
	rng = random.Random(42)
	print(tree(100000, rng))
	gc.collect()
	print(documents(40000, rng))
	print(growing_buffers(rng))
	threaded = in_threads()
	with multiprocessing.get_context('fork').Pool(2) as pool:
		forked = pool.map(share, range(8))
	print(threaded == forked, threaded[0])
	print(len({(i, str(i)): [i] for i in range(400000)}))


if __name__ == '__main__':
	main()
