-- Find a thread's checkpoints, the newest first.
-- KEYS: its rows, its order. ARGV: the only namespace's field, or '*' for all; the id that they must not exceed, or ''; the
-- only id, or ''; how many of each namespace.
-- Reply: of each namespace its field, its state, and the ids.
local spaces = {ARGV[1]}
if ARGV[1] == '*' then spaces = redis.call('ZRANGEBYLEX', KEYS[2], '[n', '(o') end
local reply = {}
for _, space in ipairs(spaces) do
    local state = redis.call('HGET', KEYS[1], space)
    if state then
        local start = 'c' .. string.sub(state, 1, 8)
        local from, upto = '[' .. start, '(' .. start .. '\255'
        if ARGV[2] ~= '' then upto = '[' .. start .. ARGV[2] end
        local found = {}
        if ARGV[3] == '' then
            found = redis.call('ZREVRANGEBYLEX', KEYS[2], upto, from, 'LIMIT', 0, ARGV[4])
        elseif (ARGV[2] == '' or ARGV[3] <= ARGV[2]) and redis.call('HEXISTS', KEYS[1], start .. ARGV[3]) == 1 then
            found = {start .. ARGV[3]}
        end
        for i, field in ipairs(found) do found[i] = string.sub(field, 10) end
        reply[#reply + 1] = {space, state, found}
    end
end
return reply
