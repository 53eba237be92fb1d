-- Read a checkpoint, its writes, and the record that follows it, of one moment.
-- KEYS: the thread's rows, its order. ARGV: the namespace's field; the checkpoint's id, '' for the head.
-- Reply: the namespace's state, the checkpoint's id, its row (nil: it isn't there), the next id ('' for none) and its row, and
-- then of each task id and row. Empty without a namespace or a head.
local state = redis.call('HGET', KEYS[1], ARGV[1])
local id = state and (ARGV[2] ~= '' and ARGV[2] or string.match(state, '^[^ ]* (.*)$', 9))
if not id then return {} end
local mark = string.sub(state, 1, 8)
local reply = {state, id, redis.call('HGET', KEYS[1], 'c' .. mark .. id), '', ''}
if not reply[3] then return reply end
local following = redis.call('ZRANGEBYLEX', KEYS[2], '(c' .. mark .. id, '(c' .. mark .. '\255', 'LIMIT', 0, 1)[1]
if following then reply[4], reply[5] = string.sub(following, 10), redis.call('HGET', KEYS[1], following) end
-- Zero bytes are written as 1 1, and ones as 1 2: so a zero byte ends the id.
local escaped = string.gsub(string.gsub(id, '\1', '\1\2'), '%z', '\1\1')
local start = 'w' .. mark .. escaped .. '\0'
for _, field in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. start, '(' .. start .. '\255')) do
    reply[#reply + 1] = string.sub(field, #start + 1)
    reply[#reply + 1] = redis.call('HGET', KEYS[1], field)
end
return reply
