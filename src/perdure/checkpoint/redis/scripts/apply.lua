-- Store what becomes of threads, all or nothing: if they are as they are thought to be.
-- KEYS: of each thread its rows, its order, its lease.
-- ARGV: first of each thread holder and generation of the lease it must have ('' for none), and fields with what they must
-- hold ('' for absent); then of each the fields that get something; then of each whether it is dropped, the fields that go, and
-- the milliseconds until it is forgotten, 0: that stays as it is. Before the fields their number.
-- Reply: whether it was done, and of each thread whether its lease's holder shall stop.
local at, reply = 0, {1}
local function take()
    at = at + 1
    return ARGV[at]
end

for i = 1, #KEYS, 3 do
    local holder, generation, held = take(), take(), {'', ''}
    if holder ~= '' then held = redis.call('HMGET', KEYS[i + 2], 'holder', 'generation', 'stop') end
    if held[1] ~= holder or held[2] ~= generation then return {0} end
    for _ = 1, take() do
        local field = take()
        if (redis.call('HGET', KEYS[i], field) or '') ~= take() then return {0} end
    end
    reply[#reply + 1] = held[3] or '0'
end
-- What a full server refuses comes first: then nothing is stored at all.
for i = 1, #KEYS, 3 do
    for _ = 1, take() do
        local field = take()
        redis.call('HSET', KEYS[i], field, take())
        if string.find(field, '^[ncw]') then redis.call('ZADD', KEYS[i + 1], 0, field) end
    end
end
for i = 1, #KEYS, 3 do
    if take() == '1' then redis.call('UNLINK', KEYS[i], KEYS[i + 1], KEYS[i + 2]) end
    for _ = 1, take() do
        redis.call('ZREM', KEYS[i + 1], ARGV[at + 1])
        redis.call('HDEL', KEYS[i], take())
    end
    local ttl = take()
    for j = i, ttl == '0' and 0 or i + 2 do
        -- A thread that has rules of its own ('k') is forgotten by these, not by the saver's.
        local is_ruled = redis.call('HEXISTS', KEYS[i], 'k') == 1
        redis.call(unpack(is_ruled and {'PERSIST', KEYS[j]} or {'PEXPIRE', KEYS[j], ttl}))
    end
end
return reply
