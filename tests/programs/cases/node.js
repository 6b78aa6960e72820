// SPDX-License-Identifier: MIT
// Workload: V8's own memory, Buffers (malloc), zlib and crypto on the thread pool, worker threads, a child.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');
const { promisify } = require('util');
const { execFileSync } = require('child_process');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

let state = 42;
function random(n) {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return state % n;
}

const sha = (data) => crypto.createHash('sha256').update(data).digest('hex');

function documents(count) {
  const rows = [];
  for (let i = 0; i < count; i++) rows.push({ id: i, name: `user-${i}`, tags: Array.from({ length: 5 }, () => 't' + random(99)) });
  const text = JSON.stringify(rows);
  if (JSON.stringify(JSON.parse(text)) !== text) throw new Error('JSON changed the data');
  const words = new Map();
  for (const [word] of text.matchAll(/[a-z]+-?\d*/g)) words.set(word, (words.get(word) || 0) + 1);
  return sha(text) + ' ' + words.size;
}

function buffers() {
  const live = new Array(400);
  const hash = crypto.createHash('sha256');
  for (let i = 0; i < 40000; i++) {
    const slot = random(400);
    if (live[slot]) hash.update(live[slot].subarray(0, 16));
    live[slot] = Buffer.alloc(random(i % 100 === 0 ? 300000 : 9000) + 1, i & 255);
  }
  global.gc();
  return hash.digest('hex');
}

async function compress() {
  const deflate = promisify(zlib.deflate), inflate = promisify(zlib.inflate), brotli = promisify(zlib.brotliCompress);
  const inputs = Array.from({ length: 24 }, (_, i) => Buffer.from(`line ${i} `.repeat(20000 + i)));
  const packed = await Promise.all(inputs.map((b) => deflate(b)));
  const back = await Promise.all(packed.map((b) => inflate(b)));
  const small = await Promise.all(inputs.slice(0, 6).map((b) => brotli(b, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 } })));
  if (!back.every((b, i) => b.equals(inputs[i]))) throw new Error('zlib changed the data');
  return sha(Buffer.concat(small));
}

function inWorker(i) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: i });
    worker.on('message', resolve);
    worker.on('error', reject);
  });
}

async function main() {
  console.log(documents(20000));
  console.log(buffers());
  console.log(await compress());
  const keys = await Promise.all([1, 2, 3, 4].map((i) => promisify(crypto.scrypt)('password', 'salt' + i, 64)));
  console.log(keys.map((k) => k.toString('hex')).join('\n'));
  console.log((await Promise.all([1, 2, 3, 4, 5, 6].map(inWorker))).join('\n'));
  console.log(execFileSync(process.execPath, ['-e', 'console.log([..."abc"].reverse().join(""))']).toString());
}

if (isMainThread) {
  main();
} else {
  state = workerData;
  parentPort.postMessage(documents(3000));
}
