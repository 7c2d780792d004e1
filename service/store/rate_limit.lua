-- Takes up to so many requests out of a key's limit (generic cell rate algorithm), atomically.
--
-- KEYS[1]   one number: when the limit will be whole again, epoch ms
-- ARGV      limit, window (ms), requests wanted
--
-- Returns the requests granted, those left, ms until the next one if none was granted, and ms until
-- the limit is whole again. The server's clock decides, so that all processes agree.

local limit, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local interval = window / limit
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local whole = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)

local free = math.floor((window - (whole - now)) / interval + 1e-6)
local granted = math.min(math.max(free, 0), wanted)
local wait = 0
if granted > 0 then
  whole = whole + granted * interval
  redis.call('SET', KEYS[1], string.format('%.3f', whole), 'PX', math.ceil(whole - now) + 1)
else
  wait = math.ceil(whole - now + interval - window)
end
return {granted, math.max(free - granted, 0), wait, math.ceil(whole - now)}
