#!lua name=mutualrec_3

-- Everything is atomic, and sending a call again after a lost reply is harmless: what was taken is
-- marked with the token of the request that took it, and that request hears 1 again.

local FIELDS = {'e', 'u', 'i', 't', 'v', 'ts', 'r', 'p', 'c'}
local HEAD = 5
local WIDTH = 2 + #FIELDS

-- Takes a batch of events of one partition.
--
-- KEYS[1]           the stream
-- KEYS[2e], [2e+1]  dedupe key and history key of event e = 1, 2, ...
-- ARGV[1..5]        dedupe TTL (s), history cap, history TTL (s), token of this attempt's request,
--                   entries that the stream may hold
-- ARGV, 11 per event: sign mark ('+', '-' or '' to stay out of the history), score, then the nine
--                     stream fields' values in the order of FIELDS; values[3] is the item and
--                     values[4] the type
--
-- The score of a negative event is minus its time: what a user must never be shown is not capped, and
-- a history longer than its cap loses the oldest positive events only.
--
-- Returns the token, by which the caller knows that this is the reply to its call, and per event 1
-- (taken), 0 (duplicate) or -1 (refused: the stream is full, nothing was changed).
local function ingest(keys, args)
  local results = {args[4]}
  local room = args[5] - redis.call('XLEN', keys[1])
  local histories = {}
  for e = 1, (#keys - 1) / 2 do
    local base = HEAD + (e - 1) * WIDTH
    local token = args[4] .. ':' .. e
    local known = room < 1 and redis.call('GET', keys[2 * e])
    if room < 1 and not known then
      results[e + 1] = -1
    elseif not known and redis.call('SET', keys[2 * e], token, 'NX', 'EX', args[1]) then
      local entry = {}
      for f = 1, #FIELDS do
        entry[2 * f - 1] = FIELDS[f]
        entry[2 * f] = args[base + 2 + f]
      end
      redis.call('XADD', keys[1], '*', unpack(entry))
      room = room - 1
      if args[base + 1] ~= '' then
        local history = keys[2 * e + 1]
        local member = args[base + 1] .. args[base + 6] .. '\0' .. args[base + 5]
        if args[base + 1] == '-' then
          redis.call('ZADD', history, 'LT', '-' .. args[base + 2], member)
        else
          redis.call('ZADD', history, 'GT', args[base + 2], member)
        end
        histories[history] = true
      end
      results[e + 1] = 1
    else
      known = known or redis.call('GET', keys[2 * e])
      results[e + 1] = known == token and 1 or 0
    end
  end
  for history in pairs(histories) do
    if redis.call('ZCARD', history) > tonumber(args[2]) then
      -- The cap is for positive events, which come after all negative ones.
      local negative = redis.call('ZCOUNT', history, '-inf', '(0')
      redis.call('ZREMRANGEBYRANK', history, negative, -(args[2] + 1))
    end
    redis.call('EXPIRE', history, args[3])
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

-- Adds to counters what one worker counted, once per number of the worker's batch.
--
-- KEYS[1]       number of the worker's latest batch
-- KEYS[2...]    hashes of counters, one per addition
-- ARGV[1..3]    number of this batch, TTL of that number (s), TTL of counters (s)
-- ARGV, 2 per addition: field, amount
--
-- Returns {1}, or {0} if the batch was added before.
local function count(keys, args)
  if tonumber(redis.call('GET', keys[1]) or '0') >= tonumber(args[1]) then
    return {0}
  end
  redis.call('SET', keys[1], args[1], 'EX', args[2])
  for n = 2, #keys do
    redis.call('HINCRBY', keys[n], args[2 * n], args[2 * n + 1])
    redis.call('EXPIRE', keys[n], args[3])
  end
  return {1}
end

-- Forgets a user or an item: from now on the event log must drop what it was sent before.
--
-- KEYS[1..3]  the stream, the stream of tombstones, a history to delete
-- ARGV[1..3]  'user' or 'item', digest of the id, seconds that a user's history bears the mark
--
-- The mark is the first member of the history, and says which tombstone it is of: so whoever reads
-- the history hears of the erasure without asking for it.
--
-- What goes is named by its last stream entry: of a user the partition's last one; of an item, whose
-- entries are in all partitions, the last one that this millisecond can have.
--
-- Returns {epoch ms, ms and sequence of the last entry to forget, members of the deleted history, ms
-- and sequence of the tombstone}.
local function erase(keys, args)
  local time = redis.call('TIME')
  local at = time[1] * 1000 + math.floor(time[2] / 1000)
  local ms, sequence = string.format('%.0f', at), '9007199254740991'
  if args[1] == 'user' then
    ms = string.format('%.0f', at - 1)
    if redis.call('EXISTS', keys[1]) == 1 then
      local said = redis.call('XINFO', 'STREAM', keys[1])
      for n = 1, #said, 2 do
        if said[n] == 'last-generated-id' then
          ms, sequence = string.match(said[n + 1], '(%d+)-(%d+)')
        end
      end
    end
  end
  local members = redis.call('ZCOUNT', keys[3], '(-inf', '+inf')
  redis.call('DEL', keys[3])
  local tombstone = redis.call('XADD', keys[2], '*', 'k', args[1], 'd', args[2],
    'l', ms .. '-' .. sequence, 'at', string.format('%.0f', at))
  if args[1] == 'user' then
    redis.call('ZADD', keys[3], '-inf', '!' .. tombstone)
    redis.call('EXPIRE', keys[3], args[3])
  end
  local of_ms, of_sequence = string.match(tombstone, '(%d+)-(%d+)')
  return {at, tonumber(ms), tonumber(sequence), members, tonumber(of_ms), tonumber(of_sequence)}
end

-- Remembers or forgets who was erased.
--
-- KEYS[1..2]  hash of tombstones by digest of the user's id, number of the latest change of it
-- ARGV, 2 per user: digest, tombstone
--
-- Returns how many changed, and the number of this change.
local function mark(keys, args)
  local changed = redis.call('HSET', keys[1], unpack(args))
  return {changed, redis.call('INCR', keys[2])}
end

local function unmark(keys, args)
  local changed = 0
  for n = 1, #args, 2 do
    -- One who was erased again meanwhile stays marked.
    if redis.call('HGET', keys[1], args[n]) == args[n + 1] then
      changed = changed + redis.call('HDEL', keys[1], args[n])
    end
  end
  return {changed, redis.call('INCR', keys[2])}
end

-- What one recommendation, and one day's counters of all of them, may hold.
local MAX_MARKS = 2048
local MAX_COUNTERS = 8192

local function add(counters, field)
  if redis.call('HLEN', counters) < MAX_COUNTERS or redis.call('HEXISTS', counters, field) == 1 then
    redis.call('HINCRBY', counters, field, 1)
  end
end

-- Counts what became of recommendations: every (recommendation, type, item) once.
--
-- KEYS, 2 per event: marks of the recommendation, counters of its day
-- ARGV[1]       TTL of counters (s)
-- ARGV, 6 per event: prefix of the counters' fields, when the marks expire (epoch s), kind ('shown',
--                    'clicked' or 'other'), type, item, position
--
-- Returns 1 (counted) or 0 (known) per event.
local function attribute(keys, args)
  local results = {}
  for e = 1, #keys / 2 do
    local marks, counters, base = keys[2 * e - 1], keys[2 * e], 1 + (e - 1) * 6
    local prefix, kind, of = args[base + 1], args[base + 3], args[base + 4]
    local item, position = args[base + 5], args[base + 6]
    local mark = kind == 'shown' and 'i' .. item or 't' .. of .. '\0' .. item
    results[e] = 0
    if redis.call('HLEN', marks) < MAX_MARKS and redis.call('HSETNX', marks, mark, position) == 1 then
      results[e] = 1
      redis.call('EXPIREAT', marks, args[base + 2])
      if kind == 'shown' then
        add(counters, prefix .. 'shown:' .. position)
        if redis.call('HEXISTS', marks, 'c' .. item) == 1 then
          add(counters, prefix .. 'clicked:' .. position)
        end
      else
        add(counters, prefix .. 'events:' .. of)
        if redis.call('HSETNX', marks, 't' .. of, '') == 1 then
          add(counters, prefix .. 'converted:' .. of)
        end
        if kind == 'clicked' and redis.call('HSETNX', marks, 'c' .. item, '') == 1 then
          local shown_at = redis.call('HGET', marks, 'i' .. item)
          if shown_at then
            add(counters, prefix .. 'clicked:' .. shown_at)
          end
        end
      end
      redis.call('EXPIRE', counters, args[1])
    end
  end
  return results
end

redis.register_function('mr_count_2', count)
redis.register_function('mr_attribute_2', attribute)
redis.register_function('mr_erase_2', erase)
redis.register_function('mr_ingest_4', ingest)
redis.register_function('mr_item_3', item)
redis.register_function('mr_mark_1', mark)
redis.register_function('mr_unmark_1', unmark)
redis.register_function('mr_session_3', session)
