-- Find a thread's checkpoints, the newest first.
-- KEYS: its rows, its order. ARGV: the only namespace's field, or '*' for all; the least and the greatest id; how many of
-- each namespace.
-- Reply: of each namespace its field, its state, and the checkpoints' fields.
local spaces = {ARGV[1]}
if ARGV[1] == '*' then spaces = redis.call('ZRANGEBYLEX', KEYS[2], '[n', '(o') end
local reply = {}
for _, space in ipairs(spaces) do
    local state = redis.call('HGET', KEYS[1], space)
    if state then
        local start = '[c' .. string.sub(state, 1, 8)
        local found = redis.call('ZREVRANGEBYLEX', KEYS[2], start .. ARGV[3], start .. ARGV[2], 'LIMIT', 0, ARGV[4])
        reply[#reply + 1] = {space, state, found}
    end
end
return reply
