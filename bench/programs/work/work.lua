-- SPDX-License-Identifier: MIT
-- The work of bench/programs/lua.py; the argument is how much. Prints "done", idles until its standard input ends.
local times = tonumber(arg[1])
local state = 42
local function random(n)
	state = (state * 1103515245 + 12345) & 0x7fffffff
	return (state >> 8) % n
end

-- Nodes of a tree that lives as a whole.
local function tree(n)
	local root = {key = 500000}
	for _ = 1, n do
		local key, node = random(1000000), root
		while true do
			local side = key < node.key and "left" or "right"
			if not node[side] then node[side] = {key = key, name = "node-" .. key} break end
			node = node[side]
		end
	end
	return root
end

-- Text built from pieces and taken apart again.
local function strings(n)
	local parts, sum = {}, 0
	for i = 1, n do parts[#parts + 1] = ("%d:%s"):format(i, ("z"):rep(random(80))) end
	local text = table.concat(parts, "\n")
	for number, run in text:gmatch("(%d+):(z*)") do sum = sum + #number * #run end
	return sum
end

-- Coroutines, each with a stack of its own.
local function producers(n)
	local running, total = {}, 0
	for i = 1, n do
		running[i] = coroutine.wrap(function() for j = 1, 20 do coroutine.yield({i, j, tostring(i * j)}) end end)
	end
	for _ = 1, 20 do
		for i = 1, n do total = total + #running[i]()[3] end
	end
	return total
end

-- A table of records that are replaced at random.
local function churn(size, n)
	local live = {}
	for i = 1, n do live[random(size) + 1] = {size = random(300), data = ("k"):rep(random(300)), number = i} end
	return #live
end

local kept = tree(5000 * times)
strings(12000 * times)
producers(400 * times)
churn(4000, 40000 * times)
kept = nil
collectgarbage()
print("done")
io.stdout:flush()
io.read("a")
