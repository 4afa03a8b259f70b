-- Claims fires under a term, before their messages go to a broker that is not this server.
-- KEYS  1 the lease   2 the pending claims (a hash)   3 the index of the claims (a zset), then the sets of claims
-- ARGV  1 owner:term   2 the lease's period in ms, then of each set the ms for which it is kept
--       then of each fire: the number of its set in KEYS, its claim, itself as text
-- Reply {1, a letter a fire: n new, p pending, d done, how many keys of another kind were put aside}; {0, the lease}
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] then return {0, held or ''} end

local aside = 0
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= (i == 2 and 'hash' or i == 3 and 'zset' or 'set') then
    redis.call('RENAME', KEYS[i], KEYS[i] .. ':foreign')
    aside = aside + 1
  end
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local letters, used = {}, {}
for arg = #KEYS, #ARGV, 3 do
  local set, claim = tonumber(ARGV[arg]), ARGV[arg + 1]
  if redis.call('SADD', KEYS[set], claim) == 1 then
    redis.call('HSET', KEYS[2], claim, ARGV[arg + 2])
    letters[#letters + 1] = 'n'
    used[set] = true
  else
    letters[#letters + 1] = redis.call('HEXISTS', KEYS[2], claim) == 1 and 'p' or 'd'
  end
end
for set in pairs(used) do
  local kept = ARGV[set - 1]
  -- Trimmed by the index; that the key ends by itself, later, is for when nobody leads.
  redis.call('ZADD', KEYS[3], now + kept, KEYS[set])
  redis.call('PEXPIRE', KEYS[set], kept + 3600000)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, table.concat(letters), aside}
