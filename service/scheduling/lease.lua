-- A catalog's right to train: one owner at a time, each with a higher token than those before.
--
-- KEYS[1], [2]  the lease (expires), the newest token (stays); both hold '<token> <owner>'
-- ARGV[1..4]    'acquire', owner, TTL (ms), a token that is known to have been used
--               'renew', owner, TTL (ms), token
--               'release', owner, TTL (ms), token
--
-- Returns {token, ms left, owner} of the lease as it stands afterwards, {0, 0, ''} for none. Each
-- may be sent again after a lost reply.

local action, owner, ttl, number = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local function token_of(value)
  return value and tonumber(string.match(value, '^%d+')) or 0
end

local function hold(token)
  local value = string.format('%.0f', token) .. ' ' .. owner
  redis.call('SET', KEYS[2], value)
  redis.call('SET', KEYS[1], value, 'PX', ttl)
end

local held = redis.call('GET', KEYS[1])
if action == 'acquire' then
  if not held then
    -- A server that lost its data has lost the tokens as well; the folder of artifacts knows better.
    hold(math.max(token_of(redis.call('GET', KEYS[2])), number) + 1)
  end
else
  local mine = ARGV[4] .. ' ' .. owner
  if action == 'release' then
    if held == mine then
      redis.call('DEL', KEYS[1])
    end
  elseif held == mine then
    redis.call('PEXPIRE', KEYS[1], ttl)
  elseif not held then
    -- It ran out, or the server lost it. While nobody else had it since, it is given back.
    local newest = redis.call('GET', KEYS[2])
    if newest == mine or token_of(newest) < number then
      hold(number)
    end
  end
end

held = redis.call('GET', KEYS[1])
if not held then
  return {0, 0, ''}
end
return {token_of(held), redis.call('PTTL', KEYS[1]), string.match(held, ' (.*)$')}
