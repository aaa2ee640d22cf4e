-- Hears what a replica has to tell of calls that ended, looks at up to three scopes, and takes a call from all of them
-- or from none.
--
-- KEYS, three a scope: its rates; its calls under way; the number of the last correction heard from this replica.
-- ARGV: take, look, or tell (which leaves the limits as other calls set them); the call's id; how long a call keeps its
--   place unless that is renewed, in ms; tokens asked.
--   Then for each scope: requests, tokens and calls allowed (0: any); number and debt of a correction (0 0: none);
--   how many calls are still under way, and their ids; how many have ended, and their ids.
-- Answer: 1 where the call fits, or 0; then for each scope its debts of requests and of tokens, and its calls under way.
--
-- Debts are counted as in debt.go: whole numbers below 2^53, which Lua's numbers hold exactly. The clock is Redis' own:
-- those of the replicas may differ.

local call = redis.call
local UNIT, LONGEST, MOST, REMEMBER = 60000, 1440, 2 ^ 53, 300000
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function aged(debt, was, limit, elapsed)
  debt = math.max(debt - was * elapsed, 0)
  if was ~= limit then debt = math.min(debt, limit * UNIT) end
  return debt
end

local function owe(debt, more, limit)
  return math.min(math.max(debt + more, 0), limit * UNIT * LONGEST, MOST)
end

local at = 0
local function arg()
  at = at + 1
  return ARGV[at]
end
local function number() return tonumber(arg()) end

local mode, id, lease, asked = arg(), arg(), number(), number()

local function places(s)
  local alive = number()
  for _ = 1, alive do call('ZADD', s.places, now + lease, arg()) end
  if alive > 0 then call('PEXPIRE', s.places, lease) end
  for _ = 1, number() do call('ZREM', s.places, arg()) end
  if s.parallel == 0 then return 0 end
  local calls = call('ZCARD', s.places)
  if calls < s.parallel then return calls end
  -- Those whose replica died are counted until they are in the way.
  return calls - call('ZREMRANGEBYSCORE', s.places, '-inf', string.format('%.0f', now))
end

local function read(i)
  local s = {rates = KEYS[3 * i - 2], places = KEYS[3 * i - 1], heard = KEYS[3 * i], r = 0, t = 0}
  s.requests, s.tokens, s.parallel = number(), number(), number()
  local value = call('GET', s.rates)
  if value and #value == 40 then
    local since, r, requests, t, tokens = struct.unpack('<ddddd', value)
    if mode == 'tell' then s.requests, s.tokens = requests, tokens end
    local elapsed = math.max(now - since, 0)
    s.r = aged(r, requests, s.requests, elapsed)
    s.t = aged(t, tokens, s.tokens, elapsed)
    s.changed = requests ~= s.requests or tokens ~= s.tokens
  end
  local correction, debt = number(), number()
  if correction > 0 and debt ~= 0 and s.tokens > 0 and correction > tonumber(call('GET', s.heard) or 0) then
    call('SET', s.heard, correction, 'PX', REMEMBER)
    s.t = owe(s.t, debt, s.tokens)
    s.changed = true
  end
  s.calls = places(s)
  return s
end

local function fits(s)
  return (s.parallel == 0 or s.calls < s.parallel)
    and (s.requests == 0 or s.r + UNIT <= s.requests * UNIT)
    and (s.tokens == 0 or s.t + math.min(asked, s.tokens) * UNIT <= s.tokens * UNIT)
end

local function takeFrom(s)
  if s.requests > 0 then s.r = owe(s.r, UNIT, s.requests) end
  if s.tokens > 0 then s.t = owe(s.t, math.min(asked, s.tokens) * UNIT, s.tokens) end
  s.changed = s.changed or s.requests > 0 or s.tokens > 0
  if s.parallel > 0 then
    call('ZADD', s.places, now + lease, id)
    call('PEXPIRE', s.places, lease)
    s.calls = s.calls + 1
  end
end

local function write(s)
  local whole = 0
  if s.requests > 0 then whole = math.max(whole, s.r / s.requests) end
  if s.tokens > 0 then whole = math.max(whole, s.t / s.tokens) end
  if whole == 0 then
    call('DEL', s.rates)
  else
    call('SET', s.rates, struct.pack('<ddddd', now, s.r, s.requests, s.t, s.tokens), 'PX', math.ceil(whole) + 1)
  end
end

local scopes, fit = {}, true
for i = 1, #KEYS / 3 do
  scopes[i] = read(i)
  fit = fits(scopes[i]) and fit
end
local answer = {fit and 1 or 0}
for i, s in ipairs(scopes) do
  if mode == 'take' and fit then takeFrom(s) end
  if s.changed then write(s) end
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = s.r, s.t, s.calls
end
return answer
