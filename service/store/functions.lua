#!lua name=mutualrec_2

-- Everything is atomic, and sending a call again after a lost reply is harmless: what was taken is
-- marked with the token of the request that took it, and that request hears 1 again.

local FIELDS = {'e', 'u', 'i', 't', 'v', 'ts', 'r', 'p', 'c'}
local HEAD = 4
local WIDTH = 2 + #FIELDS

-- Takes a batch of events of one partition.
--
-- KEYS[1]           the stream
-- KEYS[2e], [2e+1]  dedupe key and history key of event e = 1, 2, ...
-- ARGV[1..4]        dedupe TTL (s), history cap, history TTL (s), token of this attempt's request
-- ARGV, 11 per event: sign mark ('+', '-' or '' to stay out of the history), score, then the nine
--                     stream fields' values in the order of FIELDS; values[3] is the item and
--                     values[4] the type
--
-- The score of a negative event is minus its time: what a user must never be shown is not capped, and
-- a history longer than its cap loses the oldest positive events only.
--
-- Returns 1 (taken) or 0 (duplicate) per event.
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
        local member = args[base + 1] .. args[base + 6] .. '\0' .. args[base + 5]
        if args[base + 1] == '-' then
          redis.call('ZADD', history, 'LT', '-' .. args[base + 2], member)
        else
          redis.call('ZADD', history, 'GT', args[base + 2], member)
        end
        -- The cap is for positive events, which come after all negative ones.
        local negative = redis.call('ZCOUNT', history, '-inf', '(0')
        redis.call('ZREMRANGEBYRANK', history, negative, -(args[2] + 1))
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

-- Takes events of one session.
--
-- KEYS[1], [2]  hash of the events by event_id, sorted set of event_ids by time
-- ARGV[1..3]    cap, TTL (s), token of this attempt's request
-- ARGV, 3 per event: event_id, score, body
--
-- Returns 1 (taken) or 0 (duplicate) per event.
local function session(keys, args)
  local results = {}
  for a = 4, #args, 3 do
    local mark = args[3] .. ':' .. a
    local value = mark .. '\0' .. args[a + 2]
    if redis.call('HSETNX', keys[1], args[a], value) == 1 then
      redis.call('ZADD', keys[2], args[a + 1], args[a])
      results[#results + 1] = 1
    else
      local known = redis.call('HGET', keys[1], args[a])
      results[#results + 1] = string.sub(known, 1, #mark + 1) == mark .. '\0' and 1 or 0
    end
  end
  local surplus = redis.call('ZCARD', keys[2]) - args[1]
  if surplus > 0 then
    local oldest = redis.call('ZPOPMIN', keys[2], surplus)
    for n = 1, #oldest, 2 do
      redis.call('HDEL', keys[1], oldest[n])
    end
  end
  redis.call('EXPIRE', keys[1], args[2])
  redis.call('EXPIRE', keys[2], args[2])
  return results
end

-- Writes the state of an item unless someone else did since it was read.
--
-- KEYS[1..3]  hash of states by item id, sorted set of item ids by number, the latest number
-- ARGV[1..3]  item id, state, number of the state that was read; 0 for none
--
-- Returns {number of this change}, or {0} if it was not made.
local function item(keys, args)
  local current = redis.call('ZSCORE', keys[2], args[1]) or '0'
  if tonumber(current) ~= tonumber(args[3]) then
    return {0}
  end
  local number = redis.call('INCR', keys[3])
  redis.call('HSET', keys[1], args[1], args[2])
  redis.call('ZADD', keys[2], number, args[1])
  return {number}
end

redis.register_function('mr_ingest_3', ingest)
redis.register_function('mr_item_2', item)
redis.register_function('mr_session_2', session)
