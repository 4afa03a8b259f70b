-- Keeps what became of claimed fires, and what goes along: states and decisions.
-- KEYS  1 the lease  2 the pending claims (a hash)  3 states  4 ledger  5 anchors  6 counters  7 the controllers
--       then sets of claims
-- ARGV  1 owner:term   2 the lease's period in ms   3 the ledger's length   4 the tick   5 its record, or ''
--       6 the controllers' state, or ''
--       7 how many went out   8 were released   9 decisions   10 states   11 forgotten jobs
--       then of each that went out: claim, job, record; of each released one: the number of its set in KEYS, claim
--       of each decision: job, record; of each state: job, state; of each forgotten job its name
-- Reply {1, how many keys of another kind were put aside}; {0, the lease}
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] then return {0, held or ''} end

local kinds = {'string', 'hash', 'hash', 'stream', 'hash', 'hash', 'string'}
local aside = 0
for i = 2, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= (kinds[i] or 'set') then
    redis.call('RENAME', KEYS[i], KEYS[i] .. ':foreign')
    aside = aside + 1
  end
end
if not string.match(redis.call('HGET', KEYS[6], 'published') or '0', '^%d+$') then
  redis.call('RENAME', KEYS[6], KEYS[6] .. ':foreign')
  aside = aside + 1
end
-- Messages are out: a server that is full still takes this, and with it all that follows in the same script.
redis.call('PEXPIRE', KEYS[1], ARGV[2])

local arg = 12
local function each(count, step, take)
  for _ = 1, tonumber(ARGV[count]) do
    take(ARGV[arg], ARGV[arg + 1], ARGV[arg + 2])
    arg = arg + step
  end
end
local function record(job, text)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[3], '*', 't', ARGV[4], 'j', job, 'd', text)
end

if ARGV[5] ~= '' then
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[3], '*', 't', ARGV[4], 's', ARGV[5])
end
if ARGV[6] ~= '' then redis.call('SET', KEYS[7], ARGV[6]) end
each(7, 3, function(claim, job, text)
  -- Not when it was kept before, by a call whose answer got lost.
  if redis.call('HDEL', KEYS[2], claim) == 1 then
    record(job, text)
    redis.call('HINCRBY', KEYS[6], 'published', 1)
  end
end)
each(8, 2, function(set, claim)
  if redis.call('HDEL', KEYS[2], claim) == 1 then redis.call('SREM', KEYS[tonumber(set)], claim) end
end)
each(9, 2, record)
each(10, 2, function(job, state) redis.call('HSET', KEYS[3], job, state) end)
each(11, 1, function(job)
  redis.call('HDEL', KEYS[3], job)
  redis.call('HDEL', KEYS[5], job)
end)
return {1, aside}
