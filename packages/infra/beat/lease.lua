-- Keeps the lease of one replica, or takes it when nobody holds it, and trims old claims while it is held.
-- KEYS  1 the lease   2 the highest term ever given   3 the index of the claims (a zset: bucket by the time of its end)
-- ARGV  1 the owner   2 the highest term that it remembers   3 the period in ms
-- Reply {1 if it is the owner's now, the term of whoever holds it, the holder, ms until it ends, the server's clock in ms,
--        the numbers of the keys that were of another kind, or held what is not ours, and were set aside,
--        the highest term before this one if it is new, else 0}
local set_aside = {}
local function set_aside_key(i)
  redis.call('RENAME', KEYS[i], KEYS[i] .. ':foreign')
  set_aside[#set_aside + 1] = i
end
for i, kind in ipairs({'string', 'string', 'zset'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then set_aside_key(i) end
end
-- A term that is not a whole number that can be counted on from is none.
local function term_of(text)
  local term = tonumber(string.match(text, '^%d+$'))
  return term and term < 2 ^ 52 and term or nil
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local held, owner, term, before = redis.call('GET', KEYS[1]), nil, nil, 0
if held then
  local name, digits = string.match(held, '^(.+):(%d+)$')
  local ends_in = redis.call('PTTL', KEYS[1])
  term = digits and term_of(digits)
  -- What never ends would keep everybody from publishing for good.
  if term and ends_in >= 0 then
    owner = name
    if owner ~= ARGV[1] then return {0, term, owner, ends_in, now, set_aside, 0} end
  else
    set_aside_key(1)
  end
end
if owner then
  -- Held by the owner, perhaps by a call whose answer got lost: then it learns its term now. A full server takes this.
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  local highest = redis.call('GET', KEYS[2])
  if highest and not term_of(highest) then
    set_aside_key(2)
    highest = nil
  end
  -- Above every term that anybody may remember, also when this server has forgotten all of them.
  before = term_of(highest or '0')
  term = math.max(before, tonumber(ARGV[2])) + 1
  redis.call('SET', KEYS[2], string.format('%d', term))
  redis.call('SET', KEYS[1], ARGV[1] .. ':' .. string.format('%d', term), 'PX', ARGV[3])
end
for _, bucket in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 20)) do
  redis.call('UNLINK', bucket)
  redis.call('ZREM', KEYS[3], bucket)
end
return {1, term, ARGV[1], tonumber(ARGV[3]), now, set_aside, before}
