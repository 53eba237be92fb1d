-- Read a checkpoint, its writes, and the record that follows it, of one moment.
-- KEYS: the thread's rows, its order. ARGV: the namespace's field; '1' and the checkpoint's id, or '0' for the head.
-- Reply: the namespace's state; and if the checkpoint is there the id, its row, the next id ('' for none) and its row, and then of each task field and row.
local state = redis.call('HGET', KEYS[1], ARGV[1])
if not state then return {} end
local mark = string.sub(state, 1, 8)
local id = string.sub(ARGV[2], 2)
if ARGV[2] == '0' then
    local head = string.find(state, ' ', 9, true)
    if not head then return {} end
    id = string.sub(state, head + 1)
end
local row = redis.call('HGET', KEYS[1], 'c' .. mark .. id)
if not row then return {state} end
local reply = {state, id, row, '', ''}
local following = redis.call('ZRANGEBYLEX', KEYS[2], '(c' .. mark .. id, '(c' .. mark .. '\255', 'LIMIT', 0, 1)
if following[1] then
    reply[4] = string.sub(following[1], 10)
    reply[5] = redis.call('HGET', KEYS[1], following[1])
end
-- Zero bytes are written as 1 1, and ones as 1 2: so a zero byte ends the id.
local escaped = string.gsub(string.gsub(id, '\1', '\1\2'), '%z', '\1\1')
local start = 'w' .. mark .. escaped .. '\0'
for _, field in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '[' .. start, '(' .. start .. '\255')) do
    reply[#reply + 1] = string.sub(field, #start + 1)
    reply[#reply + 1] = redis.call('HGET', KEYS[1], field)
end
return reply
