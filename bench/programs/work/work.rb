# SPDX-License-Identifier: MIT
# The work of bench/programs/ruby.py; the argument is how much. Prints "done", idles until its standard input ends.
require 'json'

TIMES = ARGV[0].to_i
RANDOM = Random.new(42)
Node = Struct.new(:key, :name, :left, :right)

def insert(root, key)
  node = root
  loop do
    side = key < node.key ? :left : :right
    child = node[side]
    return node[side] = Node.new(key, "node #{key}") if child.nil?
    node = child
  end
end

# Records out to JSON text and back.
def documents(count, random)
  rows = Array.new(count) { |i| { 'id' => i, 'name' => "user-#{i}", 'tags' => Array.new(5) { "t#{random.rand(99)}" } } }
  text = JSON.generate(rows)
  abort 'JSON changed the data' unless JSON.parse(text) == rows
  text.scan(/t\d+/).tally.size
end

def strings(count)
  buffers = Array.new(40) { +'' }
  count.times { |i| buffers[RANDOM.rand(40)] << "#{i}:" << 'y' * RANDOM.rand(60) }
  buffers.sum { |b| b.gsub(/y+/) { |m| m.size.to_s }.size }
end

# A page cache: texts above what an object's slot holds, replaced at random.
def cache(size, changes)
  pages = Array.new(size)
  changes.times { |i| pages[RANDOM.rand(size)] = "page #{i}" * RANDOM.rand(1..60) }
  pages.compact.size
end

root = Node.new(0.5, 'root')
(2500 * TIMES).times { insert(root, RANDOM.rand) }
documents(1500 * TIMES, RANDOM)
strings(6000 * TIMES)
cache(6000, 30_000 * TIMES)
Array.new(4) { |i| Thread.new { documents(200 * TIMES, Random.new(i)) } }.each(&:join)
GC.start
puts 'done'
$stdout.flush
$stdin.read
