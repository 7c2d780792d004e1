#!lua name=mutualrec_1

-- Takes a batch of events of one partition, atomically.
--
-- KEYS[1]           the stream
-- KEYS[2e], [2e+1]  dedupe key and history key of event e = 1, 2, ...
-- ARGV[1..4]        dedupe TTL (s), history cap, history TTL (s), token of this attempt's request
-- ARGV, 11 per event: sign mark ('+', '-' or '' to stay out of the history), score, then the nine
--                     stream fields' values in the order of FIELDS; values[3] is the item
--
-- Returns 1 (taken) or 0 (duplicate) per event. The dedupe key holds the token of the request that
-- took the event, so a request that is sent again after a lost reply hears 1 again.

local FIELDS = {'e', 'u', 'i', 't', 'v', 'ts', 'r', 'p', 'c'}
local HEAD = 4
local WIDTH = 2 + #FIELDS

local function ingest(keys, args)
  local results = {}
  for e = 1, (#keys - 1) / 2 do
    local base = HEAD + (e - 1) * WIDTH
    local token = args[4] .. ':' .. e
    if redis.call('SET', keys[2 * e], token, 'NX', 'EX', args[1]) then
      local entry = {}
      for f = 1, #FIELDS do
        entry[2 * f - 1] = FIELDS[f]
        entry[2 * f] = args[base + 2 + f]
      end
      redis.call('XADD', keys[1], '*', unpack(entry))
      if args[base + 1] ~= '' then
        local history = keys[2 * e + 1]
        local member = args[base + 1] .. args[base + 5]
        redis.call('ZADD', history, 'GT', args[base + 2], member)
        redis.call('ZREMRANGEBYRANK', history, 0, -(args[2] + 1))
        redis.call('EXPIRE', history, args[3])
      end
      results[e] = 1
    elseif redis.call('GET', keys[2 * e]) == token then
      results[e] = 1
    else
      results[e] = 0
    end
  end
  return results
end

redis.register_function('mr_ingest_1', ingest)
