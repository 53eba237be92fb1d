-- Store what an operation has changed in threads, all or nothing: if what it has read is as it was.
-- KEYS: of each thread its rows, its order, its lease.
-- ARGV: milliseconds until threads are forgotten, 0 for never; then of each thread: whether to drop it, the holder and
-- generation of the lease it must have ('' for none), and three lists, each after its length: fields and what they must
-- hold ('' for absent), fields and what they get, fields that go.
-- Reply: whether it was done, and of each thread whether its holder shall stop.
local at = 1
local function take()
    at = at + 1
    return ARGV[at]
end
local function take_list(width)
    local found = {}
    for i = 1, width * tonumber(take()) do found[i] = take() end
    return found
end
local function is_ordered(field)
    local kind = string.sub(field, 1, 1)
    return kind ~= 'p' and kind ~= 'u' and kind ~= 'k'
end

local ttl = tonumber(ARGV[1])
local threads, reply = {}, {1}
for i = 1, #KEYS / 3 do
    local thread = {
        rows = KEYS[3 * i - 2], order = KEYS[3 * i - 1], lease = KEYS[3 * i],
        drops = take(), holder = take(), generation = take(),
        guards = take_list(2), sets = take_list(2), dels = take_list(1),
    }
    local stop = 0
    if thread.holder ~= '' then
        local held = redis.call('HMGET', thread.lease, 'holder', 'generation', 'stop')
        if held[1] ~= thread.holder or held[2] ~= thread.generation then return {0} end
        stop = tonumber(held[3])
    end
    for j = 1, #thread.guards, 2 do
        if (redis.call('HGET', thread.rows, thread.guards[j]) or '') ~= thread.guards[j + 1] then return {0} end
    end
    threads[i], reply[i + 1] = thread, stop
end

-- What a full server refuses comes first: then nothing is stored at all.
for _, thread in ipairs(threads) do
    for j = 1, #thread.sets, 2 do
        redis.call('HSET', thread.rows, thread.sets[j], thread.sets[j + 1])
        if is_ordered(thread.sets[j]) then redis.call('ZADD', thread.order, 0, thread.sets[j]) end
    end
end
for _, thread in ipairs(threads) do
    if thread.drops == '1' then redis.call('UNLINK', thread.rows, thread.order, thread.lease) end
    for _, field in ipairs(thread.dels) do
        redis.call('HDEL', thread.rows, field)
        if is_ordered(field) then redis.call('ZREM', thread.order, field) end
    end
    if ttl > 0 and (#thread.sets > 0 or #thread.dels > 0) then
        -- A thread that has rules of its own ('k') is forgotten by these, not by the saver's.
        local is_ruled = redis.call('HEXISTS', thread.rows, 'k') == 1
        for _, key in ipairs({thread.rows, thread.order, thread.lease}) do
            if is_ruled then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
        end
    end
end
return reply
