-- What is done with a thread's lease, by the server's clock: those of the clients may differ.
-- KEYS: the lease. ARGV: what to do; holder; generation ('' if unknown); milliseconds it lasts; milliseconds until the thread
-- is forgotten, 0 for never; and of 'inherit' the holder that is known to be dead.
local what, holder, generation = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'holder', 'generation', 'expires', 'stop')
local is_mine = held[1] == holder and (generation == '' or held[2] == generation)

local function store(...)
    redis.call('HSET', KEYS[1], ...)
    local ttl = tonumber(ARGV[5])
    if ttl > 0 then redis.call('PEXPIRE', KEYS[1], math.max(ttl, tonumber(ARGV[4]))) end
end

if what == 'stop' then
    if held[1] and held[1] ~= '' then redis.call('HSET', KEYS[1], 'stop', '1') end
    return {}
end
if what == 'release' then
    if is_mine then redis.call('HSET', KEYS[1], 'holder', '', 'expires', '0', 'stop', '0') end
    return {}
end
local expires = string.format('%.0f', now + tonumber(ARGV[4]))
if what == 'renew' then
    if not is_mine then return {} end
    store('expires', expires)
    return {held[4]}
end
if is_mine and what == 'acquire' then
    store('expires', expires)
    return {held[2]}
end
local is_free = not held[1] or held[1] == '' or tonumber(held[3]) <= now
if what == 'inherit' then is_free = held[1] == ARGV[6] and held[2] == generation end
if not is_free then return {'', held[1], held[2]} end
local following = string.format('%.0f', 1 + tonumber(held[2] or '0'))
store('holder', holder, 'generation', following, 'expires', expires, 'stop', '0')
return {following}
