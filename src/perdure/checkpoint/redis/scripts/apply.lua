-- Run commands, if fields of threads are as they are thought to be.
-- KEYS: of each thread its rows, its order, its lease.
-- ARGV: fields (key, name, what it must hold, '' for absent) and commands (length, words), each list after its length; then
-- of each thread the milliseconds until it is forgotten, 0: that stays as it is.
-- Reply: whether it was done, and of each thread whether its lease's holder shall stop.
local at, reply = 0, {1}
local function take(count)
    at = at + count
    return unpack(ARGV, at - count + 1, at)
end

for _ = 1, take(1) do
    local key, field, data = take(3)
    if (redis.call('HGET', key, field) or '') ~= data then return {0} end
end
for _ = 1, take(1) do redis.call(take(take(1))) end
for i = 1, #KEYS, 3 do
    local ttl = tonumber(take(1))
    if ttl > 0 then
        -- A thread that has rules of its own ('k') is forgotten by these, not by the saver's.
        local is_ruled = redis.call('HEXISTS', KEYS[i], 'k') == 1
        for j = i, i + 2 do
            if is_ruled then redis.call('PERSIST', KEYS[j]) else redis.call('PEXPIRE', KEYS[j], ttl) end
        end
    end
    reply[#reply + 1] = redis.call('HGET', KEYS[i + 2], 'stop') or '0'
end
return reply
