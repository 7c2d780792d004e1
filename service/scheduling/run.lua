-- Writes what a trainer says of its run, unless a newer trainer has said something.
--
-- KEYS[1]  hash of the newest run
-- ARGV[1]  token of the trainer's lease; then field, value, ...
--
-- Returns 1 if it was written, else 0. `learned` stays from run to run.

local newest, token = tonumber(redis.call('HGET', KEYS[1], 'token') or '0'), tonumber(ARGV[1])
if newest > token then
  return 0
end
if newest < token then
  local learned = redis.call('HGET', KEYS[1], 'learned')
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'token', ARGV[1])
  if learned then
    redis.call('HSET', KEYS[1], 'learned', learned)
  end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
