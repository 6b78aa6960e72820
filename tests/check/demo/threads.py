# SPDX-License-Identifier: MIT
"""What ./quickstart runs under python3: four threads that write and read JSON, so many small objects of mixed lives."""
import json
import threading


def tree(depth):
	return {'name': f'node {depth}', 'at': [depth * 1.5, depth],
		'under': [tree(depth - 1) for _ in range(3)] if depth else []}


def work(results, number):
	text = json.dumps(tree(8))
	words = {}
	for _ in range(3):
		for node in json.loads(text)['under']:
			for word in json.dumps(node).split():
				seen = words.get(word, ())
				words[word] = seen + (len(word),) if len(seen) < 9 else ()
	results[number] = sum(map(len, words))


results = [0] * 4
threads = [threading.Thread(target=work, args=(results, number)) for number in range(4)]
for thread in threads:
	thread.start()
for thread in threads:
	thread.join()
print(sum(results))
