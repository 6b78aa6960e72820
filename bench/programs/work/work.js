// SPDX-License-Identifier: MIT
// The work of bench/programs/node.py; the argument is how much. Prints "done", idles until its standard input ends.
'use strict';
const zlib = require('zlib');
const { promisify } = require('util');

const times = Number(process.argv[2]);
let state = 42;
function random(n) {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return (state >> 8) % n;
}

// V8's own heap.
function documents(count) {
  const rows = [];
  for (let i = 0; i < count; i++) rows.push({ id: i, name: `user-${i}`, tags: Array.from({ length: 5 }, () => 't' + random(99)) });
  const text = JSON.stringify(rows);
  if (JSON.stringify(JSON.parse(text)) !== text) throw new Error('JSON changed the data');
}

// A proxy's buffers: of all sizes, replaced at random, freed by the collector.
function buffers(count) {
  const live = new Array(400);
  for (let i = 0; i < count; i++) live[random(400)] = Buffer.alloc(random(i % 100 === 0 ? 300000 : 9000) + 1, i & 255);
}

// On libuv's thread pool.
async function compress(count) {
  const deflate = promisify(zlib.deflate), inflate = promisify(zlib.inflate);
  for (let round = 0; round < count; round++) {
    const inputs = Array.from({ length: 40 }, (_, i) => Buffer.from(`line ${i * round} `.repeat(600 + i)));
    const back = await Promise.all((await Promise.all(inputs.map((b) => deflate(b)))).map((b) => inflate(b)));
    if (!back.every((b, i) => b.equals(inputs[i]))) throw new Error('zlib changed the data');
  }
}

async function main() {
  documents(5000 * times);
  buffers(15000 * times);
  await compress(4 * times);
  global.gc();
  console.log('done');
  process.stdin.resume();
}

main();
