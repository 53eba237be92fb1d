-- What is done with a thread's lease, by the server's clock: those of the clients may differ.
-- KEYS: the lease. ARGV: what to do; holder; generation; milliseconds it lasts; milliseconds until the thread is
-- forgotten, 0 for never; and of 'acquire' the holder that is known to be dead, with this generation, or ''.
-- Reply: of 'acquire' holder and generation as they are now; of 'renew' whether the holder shall stop, nothing if it is lost.
local what, holder, generation, lasts, ttl, dead = unpack(ARGV)
local held = redis.call('HMGET', KEYS[1], 'holder', 'generation', 'expires', 'stop')
local owner, current = held[1] or '', held[2] or '0'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires = string.format('%.0f', now + lasts)
local is_mine = owner == holder and current == generation
local stored, reply = {}, {}

if what == 'acquire' then
    local is_free = owner == '' or tonumber(held[3]) <= now or owner == dead and current == generation
    if owner == holder then
        stored = {'expires', expires}
    elseif is_free then
        owner, current = holder, string.format('%.0f', current + 1)
        stored = {'holder', owner, 'generation', current, 'expires', expires, 'stop', '0'}
    end
    reply = {owner, current}
elseif what == 'renew' and is_mine then
    stored, reply = {'expires', expires}, {held[4]}
elseif what == 'release' and is_mine then
    stored = {'holder', '', 'expires', '0', 'stop', '0'}
elseif what == 'stop' and owner ~= '' then
    stored = {'stop', '1'}
end
if #stored > 0 then
    redis.call('HSET', KEYS[1], unpack(stored))
    if tonumber(ttl) > 0 then redis.call('PEXPIRE', KEYS[1], math.max(ttl, lasts)) end
end
return reply
