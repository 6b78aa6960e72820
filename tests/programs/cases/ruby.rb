# SPDX-License-Identifier: MIT
# Workload: ruby's objects, strings that grow, hashes, threads, fork and the collector.
require 'json'
require 'digest'
require 'set'

Node = Struct.new(:key, :left, :right)

def insert(root, key)
  node = root
  loop do
    side = key < node.key ? :left : :right
    child = node[side]
    return node[side] = Node.new(key) if child.nil?
    node = child
  end
end

def depth(node) = node.nil? ? 0 : 1 + [depth(node.left), depth(node.right)].max

def documents(count, random)
  rows = Array.new(count) { |i| { 'id' => i, 'name' => "user-#{i}", 'tags' => Array.new(5) { "t#{random.rand(99)}" } } }
  text = JSON.generate(rows)
  raise 'JSON changed the data' unless JSON.parse(text) == rows
  [Digest::SHA256.hexdigest(text), text.scan(/t\d+/).tally.max_by { |k, v| [v, k] }]
end

def strings(random)
  buffers = Array.new(40) { +'' }
  60_000.times { |i| buffers[random.rand(40)] << "#{i}:" << 'y' * random.rand(60) }
  Digest::SHA256.hexdigest(buffers.map { |b| b.gsub(/y+/) { |m| m.size.to_s } }.join)
end

random = Random.new(42)
root = Node.new(0.5)
40_000.times { insert(root, random.rand) }
puts depth(root)
puts documents(15_000, random).inspect
puts strings(random)
puts (1..60).map { |n| (1..n).reduce(:*) }.sum.to_s.size, (3**20_000).to_s.sum
puts Array.new(6) { |i| Thread.new { documents(800, Random.new(i)) } }.map(&:value).inspect
readers = Array.new(8) do |i|
  IO.popen('-') || begin
    puts documents(300, Random.new(i)).inspect
    $stdout.flush
    exit!(0)
  end
end
readers.each do |r|
  puts r.read
  r.close
  raise 'a child failed' unless $?.success?
end
set = Set.new
300_000.times { |i| set << [i % 5000, (i % 17).to_s] }
puts set.size
GC.start
GC.compact if GC.respond_to?(:compact)
