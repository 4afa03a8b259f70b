-- Publishes fires under a term, each once, and keeps what goes with them: all of it or nothing.
-- KEYS  1 the lease  2 states  3 ledger  4 runs  5 counters  6 anchors  7 the index of the claims
--       then the sets of claims, then the lists, channels and expiring queues that messages go to
-- ARGV  1 owner:term   2 the lease's period in ms   3 the ledger's length   4 the tick   5 its record, or ''
--       6 how many sets of claims   7 groups   8 single fires   9 decisions   10 states   11 forgotten jobs
--       then of each set: ms for which it is kept
--       of each group: set, list, n, n claims, n messages, n records, n states (0: none)
--       of each single fire: set, claim, record, state, run's id or '', run, deliveries; of each delivery: key,
--         1 if it is a channel, message, expiring keys, and each of these with its ms
--       of each decision its record; of each state: job, state; of each forgotten job its name
-- Sets and keys are given by their number in KEYS, states by their number among the states.
-- Reply {1, a letter a fire in the order of ARGV}: n new, c claimed before, x its key is of another kind;
--       {0, who holds the lease}; {2, the number of the key of ours that is of another kind, or has counts that are none}
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] then return {0, held or ''} end

-- A script does not roll back: whatever could fail is looked at before the first write.
for i, kind in ipairs({'hash', 'stream', 'hash', 'hash', 'hash', 'zset'}) do
  local found = redis.call('TYPE', KEYS[i + 1]).ok
  if found ~= kind and found ~= 'none' then return {2, i + 1} end
end
for _, count in ipairs(redis.call('HMGET', KEYS[5], 'commits', 'published', 'claimed_before')) do
  if count and not string.match(count, '^%d+$') then return {2, 5} end
end
local sets = tonumber(ARGV[6])
local bad = {}
for i = 8, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= (i < 8 + sets and 'set' or 'list') then bad[i] = true end
end
-- The first write is one that a full server refuses: after another one it would let all the others pass.
redis.call('HINCRBY', KEYS[5], 'commits', 1)

local next_arg = 12
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 8, 7 + sets do
  if not bad[i] then
    -- Trimmed by the index; that the key ends by itself, later, is for when nobody leads.
    redis.call('ZADD', KEYS[7], now + ARGV[next_arg], KEYS[i])
  end
  next_arg = next_arg + 1
end

local fates, held_back, new, claimed = {}, {}, 0, 0
local function record(text)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 't', ARGV[4], 'd', text)
end
if ARGV[5] ~= '' then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 't', ARGV[4], 's', ARGV[5])
end

for _ = 1, tonumber(ARGV[7]) do
  local set, list, n = tonumber(ARGV[next_arg]), tonumber(ARGV[next_arg + 1]), tonumber(ARGV[next_arg + 2])
  local claims = next_arg + 3
  local messages, records, states = claims + n, claims + 2 * n, claims + 3 * n
  next_arg = claims + 4 * n
  if bad[set] or bad[list] then
    for i = 0, n - 1 do
      fates[#fates + 1] = 'x'
      held_back[ARGV[states + i]] = true
    end
  else
    local known, any = redis.call('SMISMEMBER', KEYS[set], unpack(ARGV, claims, claims + n - 1)), false
    for i = 1, n do any = any or known[i] == 1 end
    if not any then
      redis.call('SADD', KEYS[set], unpack(ARGV, claims, claims + n - 1))
      redis.call('LPUSH', KEYS[list], unpack(ARGV, messages, messages + n - 1))
    end
    for i = 0, n - 1 do
      if known[i + 1] == 1 then
        fates[#fates + 1] = 'c'
        claimed = claimed + 1
      else
        if any then
          redis.call('SADD', KEYS[set], ARGV[claims + i])
          redis.call('LPUSH', KEYS[list], ARGV[messages + i])
        end
        fates[#fates + 1] = 'n'
        new = new + 1
        record(ARGV[records + i])
      end
    end
  end
end

for _ = 1, tonumber(ARGV[8]) do
  local set, claim, text, state = tonumber(ARGV[next_arg]), ARGV[next_arg + 1], ARGV[next_arg + 2], ARGV[next_arg + 3]
  local run, run_text, deliveries = ARGV[next_arg + 4], ARGV[next_arg + 5], tonumber(ARGV[next_arg + 6])
  next_arg = next_arg + 7
  local first, is_bad = next_arg, bad[set]
  for _ = 1, deliveries do
    is_bad = is_bad or (ARGV[next_arg + 1] ~= '1' and bad[tonumber(ARGV[next_arg])])
    next_arg = next_arg + 4 + 2 * tonumber(ARGV[next_arg + 3])
  end
  if is_bad then
    fates[#fates + 1] = 'x'
    held_back[state] = true
  elseif redis.call('SADD', KEYS[set], claim) == 0 then
    fates[#fates + 1] = 'c'
    claimed = claimed + 1
  else
    local at = first
    for _ = 1, deliveries do
      local key = KEYS[tonumber(ARGV[at])]
      redis.call(ARGV[at + 1] == '1' and 'PUBLISH' or 'LPUSH', key, ARGV[at + 2])
      local expiring = tonumber(ARGV[at + 3])
      at = at + 4
      for _ = 1, expiring do
        redis.call('PEXPIRE', KEYS[tonumber(ARGV[at])], ARGV[at + 1])
        at = at + 2
      end
    end
    if run ~= '' then redis.call('HSET', KEYS[4], run, run_text) end
    fates[#fates + 1] = 'n'
    new = new + 1
    record(text)
  end
end

for _ = 1, tonumber(ARGV[9]) do
  record(ARGV[next_arg])
  next_arg = next_arg + 1
end
local kept = {}
for i = 1, tonumber(ARGV[10]) do
  if not held_back[tostring(i)] then
    kept[#kept + 1] = ARGV[next_arg]
    kept[#kept + 1] = ARGV[next_arg + 1]
  end
  next_arg = next_arg + 2
end
if #kept > 0 then redis.call('HSET', KEYS[2], unpack(kept)) end
local forgotten = tonumber(ARGV[11])
if forgotten > 0 then
  redis.call('HDEL', KEYS[2], unpack(ARGV, next_arg, next_arg + forgotten - 1))
  redis.call('HDEL', KEYS[6], unpack(ARGV, next_arg, next_arg + forgotten - 1))
end
for i = 8, 7 + sets do
  if not bad[i] then redis.call('PEXPIRE', KEYS[i], ARGV[i + 4] + 3600000) end
end
if new > 0 then redis.call('HINCRBY', KEYS[5], 'published', new) end
if claimed > 0 then redis.call('HINCRBY', KEYS[5], 'claimed_before', claimed) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, table.concat(fates)}
