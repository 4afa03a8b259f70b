-- Publishes fires under a term, each once, and keeps what goes with them: all of it or nothing.
-- KEYS  1 the lease  2 states  3 ledger  4 runs  5 counters  6 anchors  7 the index of the claims  8 the controllers
--       then the sets of claims, then the lists, channels and expiring queues that messages go to
-- ARGV  1 owner:term   2 the lease's period in ms   3 the ledger's length   4 the tick   5 its record, or ''
--       6 the controllers' state, or ''
--       7 how many sets of claims   8 frames   9 groups   10 single fires   11 decisions   12 states   13 forgotten jobs
--       then of each set: ms for which it is kept
--       of each frame: five parts of a message, with the id of the fire between them
--       of each group, fires that are alike: set, list, frame, their part of a message, record, state or '', n, and of
--         each fire: claim, id, head of the message, job
--       of each single fire: set, claim, job, record, state or '', run's id or '', run, deliveries; of each delivery:
--         key, 1 if it is a channel, message, expiring keys, and each of these with its ms
--       of each decision: job, record; of each state: job, state; of each forgotten job its name
-- Sets and keys are given by their number in KEYS, frames by their number among the frames.
-- Reply {1, a letter a fire in the order of ARGV}: n new, c claimed before, x its key is of another kind, or its channel forbidden;
--       {0, who holds the lease}; {2, the number of the key of ours that is of another kind, or has counts that are none}
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[1] then return {0, held or ''} end

-- A script does not roll back: whatever could fail is looked at before the first write.
for i, kind in ipairs({'hash', 'stream', 'hash', 'hash', 'hash', 'zset', 'string'}) do
  local found = redis.call('TYPE', KEYS[i + 1]).ok
  if found ~= kind and found ~= 'none' then return {2, i + 1} end
end
for _, count in ipairs(redis.call('HMGET', KEYS[5], 'commits', 'published', 'claimed_before')) do
  if count and not string.match(count, '^%d+$') then return {2, 5} end
end
local sets = tonumber(ARGV[7])
local bad = {}
for i = 9, #KEYS do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= 'none' and found ~= (i < 9 + sets and 'set' or 'list') then bad[i] = true end
end
-- The first write is one that a full server refuses: after another one it would let all the others pass.
redis.call('HINCRBY', KEYS[5], 'commits', 1)

local at = 14
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 9, 8 + sets do
  if not bad[i] then
    -- Trimmed by the index; that the key ends by itself, later, is for when nobody leads.
    redis.call('ZADD', KEYS[7], now + ARGV[at], KEYS[i])
  end
  at = at + 1
end
local frames = at
at = at + 5 * tonumber(ARGV[8])

local fates, kept, new, claimed = {}, {}, 0, 0
local function record(job, text)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 't', ARGV[4], 'j', job, 'd', text)
end
local function keep(job, state)
  kept[#kept + 1] = job
  kept[#kept + 1] = state
end
if ARGV[5] ~= '' then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 't', ARGV[4], 's', ARGV[5])
end
if ARGV[6] ~= '' then redis.call('SET', KEYS[8], ARGV[6]) end

for _ = 1, tonumber(ARGV[9]) do
  local set, list, frame, n = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), frames + 5 * ARGV[at + 2], tonumber(ARGV[at + 6])
  local fire, text, state = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local first, last = at + 7, at + 3 + 4 * n
  at = at + 7 + 4 * n
  if bad[set] or bad[list] then
    for _ = 1, n do fates[#fates + 1] = 'x' end
  else
    local claims, fresh, messages = {}, {}, {}
    for i = first, last, 4 do claims[#claims + 1] = ARGV[i] end
    local known = redis.call('SMISMEMBER', KEYS[set], unpack(claims))
    local a, b, c, d, e = fire .. ARGV[frame], ARGV[frame + 1], ARGV[frame + 2], ARGV[frame + 3], ARGV[frame + 4]
    for i = 1, n do
      if known[i] == 1 then
        fates[#fates + 1] = 'c'
      else
        local id, head = ARGV[first + 4 * i - 3], ARGV[first + 4 * i - 2]
        fates[#fates + 1] = 'n'
        fresh[#fresh + 1] = claims[i]
        messages[#messages + 1] = head .. a .. id .. b .. id .. c .. id .. d .. id .. e
      end
    end
    new, claimed = new + #fresh, claimed + n - #fresh
    if #fresh > 0 then
      redis.call('SADD', KEYS[set], unpack(fresh))
      redis.call('LPUSH', KEYS[list], unpack(messages))
    end
    for i = 1, n do
      local job = ARGV[first + 4 * i - 1]
      if known[i] ~= 1 then record(job, text) end
      if state ~= '' then keep(job, state) end
    end
  end
end

-- Channels come first: an account that may not publish to one, which is found out by trying, has then done nothing.
local function told_all(next_one, deliveries)
  for _ = 1, deliveries do
    if ARGV[next_one + 1] == '1' then
      local told = redis.pcall('PUBLISH', KEYS[tonumber(ARGV[next_one])], ARGV[next_one + 2])
      if type(told) == 'table' and told.err then return false end
    end
    next_one = next_one + 4 + 2 * tonumber(ARGV[next_one + 3])
  end
  return true
end

for _ = 1, tonumber(ARGV[10]) do
  local set, claim, job, text, state = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local run, run_text, deliveries = ARGV[at + 5], ARGV[at + 6], tonumber(ARGV[at + 7])
  at = at + 8
  local first, is_bad = at, bad[set]
  for _ = 1, deliveries do
    is_bad = is_bad or (ARGV[at + 1] ~= '1' and bad[tonumber(ARGV[at])])
    at = at + 4 + 2 * tonumber(ARGV[at + 3])
  end
  local is_claimed = not is_bad and redis.call('SISMEMBER', KEYS[set], claim) == 1
  if not is_bad and not is_claimed then is_bad = not told_all(first, deliveries) end
  if is_bad then
    fates[#fates + 1] = 'x'
  else
    if is_claimed then
      fates[#fates + 1] = 'c'
      claimed = claimed + 1
    else
      redis.call('SADD', KEYS[set], claim)
      local next_one = first
      for _ = 1, deliveries do
        if ARGV[next_one + 1] ~= '1' then
          redis.call('LPUSH', KEYS[tonumber(ARGV[next_one])], ARGV[next_one + 2])
        end
        local expiring = tonumber(ARGV[next_one + 3])
        next_one = next_one + 4
        for _ = 1, expiring do
          redis.call('PEXPIRE', KEYS[tonumber(ARGV[next_one])], ARGV[next_one + 1])
          next_one = next_one + 2
        end
      end
      if run ~= '' then redis.call('HSET', KEYS[4], run, run_text) end
      fates[#fates + 1] = 'n'
      new = new + 1
      record(job, text)
    end
    if state ~= '' then keep(job, state) end
  end
end

for _ = 1, tonumber(ARGV[11]) do
  record(ARGV[at], ARGV[at + 1])
  at = at + 2
end
for _ = 1, tonumber(ARGV[12]) do
  keep(ARGV[at], ARGV[at + 1])
  at = at + 2
end
if #kept > 0 then redis.call('HSET', KEYS[2], unpack(kept)) end
local forgotten = tonumber(ARGV[13])
if forgotten > 0 then
  redis.call('HDEL', KEYS[2], unpack(ARGV, at, at + forgotten - 1))
  redis.call('HDEL', KEYS[6], unpack(ARGV, at, at + forgotten - 1))
end
for i = 9, 8 + sets do
  if not bad[i] then redis.call('PEXPIRE', KEYS[i], ARGV[i + 5] + 3600000) end
end
if new > 0 then redis.call('HINCRBY', KEYS[5], 'published', new) end
if claimed > 0 then redis.call('HINCRBY', KEYS[5], 'claimed_before', claimed) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, table.concat(fates)}
