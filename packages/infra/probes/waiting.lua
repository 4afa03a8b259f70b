-- How many messages stand in lists of kombu's, and the oldest of each without its body. Writes nothing.
-- KEYS  the lists
-- ARGV  1 how many bytes of a message are given back at most   2 how many bytes of messages are looked at in all: when it
--       is more, the oldest of the lists behind are not looked at
-- Reply {of each list its length, -1 if the key is no list, and the message, '' if there is none, or none that was
--        looked at or could be cut}
local most, left = tonumber(ARGV[1]), tonumber(ARGV[2])
local reply = {}

-- A body may be megabytes, and nobody asks for it. It ends at a quote: it is base64, or has a backslash before each one.
local function without_body(text)
  local _, before = string.find(string.sub(text, 1, most), '"body"%s*:%s*"')
  if not before then return '' end
  local after = string.find(text, '"', before + 1, true)
  if not after or string.byte(text, after - 1) == 92 then return '' end
  if before + #text - after + 1 > most then return '' end
  return string.sub(text, 1, before) .. string.sub(text, after)
end

for _, key in ipairs(KEYS) do
  local length, oldest = redis.pcall('LLEN', key), ''
  if type(length) ~= 'number' then
    length = -1
  elseif length > 0 and left > 0 then
    -- kombu pushes at the left and takes from the right.
    oldest = redis.call('LINDEX', key, -1)
    left = left - #oldest
    if #oldest > most then oldest = without_body(oldest) end
  end
  reply[#reply + 1] = length
  reply[#reply + 1] = oldest
end
return reply
