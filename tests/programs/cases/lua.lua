-- SPDX-License-Identifier: MIT
-- Workload: lua allocates everything by realloc of small objects and doubling arrays.
local state = 42
local function random(n)
	state = (state * 1103515245 + 12345) & 0x7fffffff
	return state % n
end

local function tree(n)
	local root, deepest = {key = 500000}, 0
	for _ = 1, n do
		local key, node, depth = random(1000000), root, 1
		while true do
			local side = key < node.key and "left" or "right"
			depth = depth + 1
			if not node[side] then node[side] = {key = key, name = "node-" .. key} break end
			node = node[side]
		end
		deepest = math.max(deepest, depth)
	end
	return deepest
end

local function strings(n)
	local parts, sum = {}, 0
	for i = 1, n do parts[#parts + 1] = ("%d:%s"):format(i, ("z"):rep(random(80))) end
	local text = table.concat(parts, "\n")
	for number, run in text:gmatch("(%d+):(z*)") do sum = sum + #number * #run end
	return #text, sum, #text:gsub("z+", "q")
end

local function producers(n)
	local running, total = {}, 0
	for i = 1, n do
		running[i] = coroutine.wrap(function()
			for j = 1, 20 do coroutine.yield({i, j, tostring(i * j)}) end
		end)
	end
	for _ = 1, 20 do
		for i = 1, n do
			local item = running[i]()
			total = total + #item[3] * item[2]
		end
	end
	return total
end

local function churn(n)
	local live, sum = {}, 0
	for i = 1, n do
		local slot = random(5000) + 1
		local old = live[slot]
		if old then sum = sum + old.size end
		live[slot] = {size = random(300), data = ("k"):rep(random(300)), back = old and old.size}
	end
	return sum
end

print(tree(80000))
print(strings(150000))
print(producers(5000))
collectgarbage("generational")
print(churn(700000))
collectgarbage("incremental")
local counted = {}
for i = 1, 400000 do counted["key" .. random(100000)] = i end
local n, sum = 0, 0
for _, v in pairs(counted) do n, sum = n + 1, sum + v end
print(n, sum)
