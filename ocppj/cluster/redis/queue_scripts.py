"""What Redis holds of stored requests, and the Lua scripts that change it.

All keys begin with the prefix in braces, so that they are on one machine of a sharded Redis:

==========================  ==========  =============================================================================
``{ocppj}:queue:rows``      hash        each request by its number: ``SHIFT ORIGIN ROW``, where ``ROW`` is JSON
``{ocppj}:queue:of:CLIENT`` sorted set  the numbers of the requests of a client
``{ocppj}:queue:ids``       sorted set  ``MESSAGE_ID``, a zero byte, and the number: to find a request by its id
``{ocppj}:queue:expiries``  sorted set  the numbers of those that expire, with the time in seconds of Redis' clock
``{ocppj}:queue:aside``     hash        by number, those that were set aside: JSON of the value, why, and when
``{ocppj}:queue:taken``     hash        by number, the node that has ended the request and is telling its program; with
                                        a ``!`` at its end if it had the request in a queue
``{ocppj}:queue:last``      text        the last number that was given to a request
``{ocppj}:queue:epoch``     text        another one after Redis has lost all that it had
``{ocppj}:queue:at``        hash        by client, the places where its requests are in memory: ``NODE.NUMBER ...``
``{ocppj}:queue:node:NODE`` text        there while that node lives
``{ocppj}:queue:news:NODE`` sorted set  what a node has to look at: JSON
``{ocppj}:queue:no:ORIGIN`` text        there for a minute: the request of that origin is not to be stored
==========================  ==========  =============================================================================

The numbers grow, by Redis' clock: so a Redis that has lost its data gives none of them to another request. ``SHIFT`` is
what Redis' clock was ahead of that of the node which stored the request, in seconds. ``ORIGIN`` is ``PLACE/NUMBER``, or
``NODE.0/NUMBER`` for a client without a queue there.
"""

from __future__ import annotations

from typing import List

from .scripts import Script

__all__ = [
    "ASIDE",
    "DELETE",
    "EXPIRED",
    "INSERT",
    "JOIN",
    "KEEP",
    "LOAD",
    "MARK",
    "NEXT_EXPIRY",
    "OF_CLIENT",
    "OF_MESSAGE",
    "REFUSE",
    "RESTORE",
    "TAKE",
    "TAKE_ASIDE",
    "UNLOAD",
    "QueueKeys",
]

_BEGIN = """
local base = KEYS[1]
local rows, ids, expiries, taken, at = base .. 'rows', base .. 'ids', base .. 'expiries', base .. 'taken', base .. 'at'
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
-- Return what Redis' clock is ahead of one that shows `theirs`. Half a second is the time that a command takes.
local function ahead(theirs)
  local shift = now - theirs
  return math.abs(shift) > 0.5 and shift or 0
end
local function lives(node)
  return redis.call('EXISTS', base .. 'node:' .. node) == 1
end
local function tell(node, kind, client, seq)
  local news = base .. 'news:' .. node
  redis.call('ZADD', news, now, cjson.encode({kind, client, seq}))
  redis.call('EXPIRE', news, 3600)
end
-- Tell the nodes that have a queue of that client, but not the place or node `mine`.
local function tell_others(mine, kind, client, seq)
  local held, left = redis.call('HGET', at, client), {}
  for place in string.gmatch(held or '', '%S+') do
    local node = string.match(place, '^[^.]+')
    if lives(node) then
      left[#left + 1] = place
      if place ~= mine and node ~= mine then tell(node, kind, client, seq) end
    end
  end
  if held and #left == 0 then
    redis.call('HDEL', at, client)
  elseif held and table.concat(left, ' ') ~= held then
    redis.call('HSET', at, client, table.concat(left, ' '))
  end
end
local function parse(value)
  local shift, origin, row = string.match(value, '^(%S+) (%S+) (.*)$')
  return tonumber(shift), origin, cjson.decode(row)
end
local function add(seq, value)
  local shift, _, row = parse(value)
  redis.call('HSET', rows, seq, value)
  redis.call('ZADD', base .. 'of:' .. row[1], seq, seq)
  redis.call('ZADD', ids, 0, row[2] .. '\\0' .. seq)
  if type(row[6]) == 'number' then redis.call('ZADD', expiries, row[6] + shift, seq) end
end
-- Remove a request. Return its value, its client and its origin.
local function remove(seq)
  local value = redis.call('HGET', rows, seq)
  if not value then return nil end
  local _, origin, row = parse(value)
  redis.call('HDEL', rows, seq)
  redis.call('ZREM', base .. 'of:' .. row[1], seq)
  redis.call('ZREM', ids, row[2] .. '\\0' .. seq)
  redis.call('ZREM', expiries, seq)
  redis.call('HDEL', taken, seq)
  return value, row[1], origin, row[2]
end
-- Remove a request that has ended, and tell the others that have it, and the node that has its future.
local function finish(node, seq)
  local value, client, origin, message_id = remove(seq)
  if not value then return nil end
  tell_others(node, 'ended', client, seq)
  local from = string.match(origin, '^[^./]+')
  if from ~= node and lives(from) then tell(from, 'over', client, message_id) end
  return value
end
-- Return whether another node that lives has ended a request. One that it has answered counts only if `answered`: a
-- node that dies before it has told its program has told nobody, and then the request is to be sent again.
local function is_taken_by_another(node, seq, answered)
  local by = redis.call('HGET', taken, seq)
  if not by then return false end
  local taker = string.match(by, '^[^!]+')
  return (answered or by == taker) and taker ~= node and lives(taker)
end
-- Return whether another node ends the requests of that client in time: the newest that has a queue of it.
local function is_held_by_another(node, client)
  local newest = node
  for place in string.gmatch(redis.call('HGET', at, client) or '', '%S+') do
    local each = string.match(place, '^[^.]+')
    if lives(each) then newest = each end
  end
  return newest ~= node
end
-- Return the time, and then the number and the value of each of those requests that no other node has ended.
local function read(node, seqs, answered)
  local found = {string.format('%.6f', now)}
  for _, seq in ipairs(seqs) do
    local value = redis.call('HGET', rows, seq)
    if value and not is_taken_by_another(node, seq, answered) then
      found[#found + 1] = seq
      found[#found + 1] = value
    end
  end
  return found
end
"""


class QueueKeys:
    """The names of the keys of the stored requests of one cluster."""

    def __init__(self, prefix: str) -> None:
        self.begin: str = "{" + prefix + "}:queue:"
        self.rows: str = self.begin + "rows"
        self.aside: str = self.begin + "aside"
        self.taken: str = self.begin + "taken"
        self.node: str = self.begin + "node:"
        self.news: str = self.begin + "news:"

    def all(self) -> List[str]:
        """Return what each script gets as its keys: the beginning of all names."""
        return [self.begin]


#: Store a request. Arguments: row, origin, place, time of the node, number of the one in whose place it comes or "",
#: client. Returns its number, or "refused".
INSERT = Script(
    """
local value, origin, mine, client = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
if redis.call('EXISTS', base .. 'no:' .. origin) == 1 then return 'refused' end
local seq = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', base .. 'last') or '0')
if seq <= last then seq = last + 1 end
seq = string.format('%.0f', seq)
redis.call('SET', base .. 'last', seq)
add(seq, string.format('%.6f', ahead(ARGV[4])) .. ' ' .. origin .. ' ' .. value)
if ARGV[5] ~= '' then finish(string.match(mine, '^[^.]+'), ARGV[5]) end
tell_others(mine, 'new', client, '')
return seq
""",
    _BEGIN,
)

#: Do not store the request of that origin, or delete it if it is stored. Arguments: node, origin, message id.
REFUSE = Script(
    """
redis.call('DEL', base .. 'no:' .. ARGV[2])
redis.call('SET', base .. 'no:' .. ARGV[2], '', 'EX', 60)
local found = redis.call('ZRANGEBYLEX', ids, '[' .. ARGV[3] .. '\\0', '[' .. ARGV[3] .. '\\0\\255')
for _, member in ipairs(found) do
  local seq = string.match(member, '%d+$')
  local value = redis.call('HGET', rows, seq)
  if value then
    local _, origin = parse(value)
    if origin == ARGV[2] then finish(ARGV[1], seq) end
  end
end
""",
    _BEGIN,
)

#: Delete requests that have ended. Arguments: node, numbers.
DELETE = Script(
    """
for i = 2, #ARGV do finish(ARGV[1], ARGV[i]) end
""",
    _BEGIN,
)

#: Set a request aside. Arguments: node, number, why, when.
ASIDE = Script(
    """
local value = finish(ARGV[1], ARGV[2])
if value then redis.call('HSET', base .. 'aside', ARGV[2], cjson.encode({value, ARGV[3], ARGV[4]})) end
""",
    _BEGIN,
)

#: Take out a request that was set aside. Arguments: number, "1" to store it again. Returns 1 if it was there.
TAKE_ASIDE = Script(
    """
local text = redis.call('HGET', base .. 'aside', ARGV[1])
if not text then return 0 end
redis.call('HDEL', base .. 'aside', ARGV[1])
if ARGV[2] == '1' then add(ARGV[1], cjson.decode(text)[1]) end
return 1
""",
    _BEGIN,
)

#: Have a place hold the requests of a client, and read them. Arguments: node, client, place.
LOAD = Script(
    """
local node, client, place = ARGV[1], ARGV[2], ARGV[3]
local places, known = {}, false
for each in string.gmatch(redis.call('HGET', at, client) or '', '%S+') do
  if each == place or lives(string.match(each, '^[^.]+')) then places[#places + 1] = each end
  known = known or each == place
end
if not known then places[#places + 1] = place end
redis.call('HDEL', at, client)
redis.call('HSET', at, client, table.concat(places, ' '))
return read(node, redis.call('ZRANGE', base .. 'of:' .. client, 0, -1), false)
""",
    _BEGIN,
)

#: Have places hold the requests of clients no more. Arguments: node, which is not used, then a client, its place, ...
UNLOAD = Script(
    """
for i = 2, #ARGV, 2 do
  local places = {}
  for each in string.gmatch(redis.call('HGET', at, ARGV[i]) or '', '%S+') do
    if each ~= ARGV[i + 1] then places[#places + 1] = each end
  end
  redis.call('HDEL', at, ARGV[i])
  if #places > 0 then redis.call('HSET', at, ARGV[i], table.concat(places, ' ')) end
end
""",
    _BEGIN,
)

#: Read the requests of a client. Arguments: node, client.
OF_CLIENT = Script(
    """
return read(ARGV[1], redis.call('ZRANGE', base .. 'of:' .. ARGV[2], 0, -1), true)
""",
    _BEGIN,
)

#: Read the requests of a message id, and perhaps of others. Arguments: node, message id.
OF_MESSAGE = Script(
    """
local seqs = {}
local found = redis.call('ZRANGEBYLEX', ids, '[' .. ARGV[2] .. '\\0', '[' .. ARGV[2] .. '\\0\\255')
for _, member in ipairs(found) do seqs[#seqs + 1] = string.match(member, '%d+$') end
return read(ARGV[1], seqs, true)
""",
    _BEGIN,
)

#: Read requests that have expired, and that this node is to end. Arguments: node, time, time of the node now, how many
#: at most.
EXPIRED = Script(
    """
local cut = string.format('%.6f', ARGV[2] + ahead(ARGV[3]))
local due = {}
for _, seq in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', cut, 'LIMIT', 0, ARGV[4])) do
  local value = redis.call('HGET', rows, seq)
  if value then
    local _, _, row = parse(value)
    if not is_held_by_another(ARGV[1], row[1]) then due[#due + 1] = seq end
  end
end
return read(ARGV[1], due, true)
""",
    _BEGIN,
)

#: Return how many seconds after a time the next request expires, or nothing. Arguments: time, time of the node.
NEXT_EXPIRY = Script(
    """
local cut = ARGV[1] + ahead(ARGV[2])
local least = '(' .. string.format('%.6f', cut)
local found = redis.call('ZRANGEBYSCORE', expiries, least, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return found[2] and string.format('%.6f', found[2] - cut) or false
""",
    _BEGIN,
)

#: Have a node end a request of a client that may be at another. Arguments: node, number, client. Returns 1 if it may.
TAKE = Script(
    """
if redis.call('HEXISTS', rows, ARGV[2]) == 0 or is_taken_by_another(ARGV[1], ARGV[2], true) then return 0 end
redis.call('HDEL', taken, ARGV[2])
redis.call('HSET', taken, ARGV[2], ARGV[1])
tell_others(ARGV[1], 'canceled', ARGV[3], ARGV[2])
return 1
""",
    _BEGIN,
)

#: Note that a node tells its program how requests have ended, which it had in a queue. Arguments: node, numbers.
MARK = Script(
    """
for i = 2, #ARGV do
  local by = redis.call('HGET', taken, ARGV[i])
  local free = by ~= ARGV[1] and not is_taken_by_another(ARGV[1], ARGV[i], true)
  if free and redis.call('HEXISTS', rows, ARGV[i]) == 1 then
    redis.call('HDEL', taken, ARGV[i])
    redis.call('HSET', taken, ARGV[i], ARGV[1] .. '!')
  end
end
""",
    _BEGIN,
)

#: Have a request that a node has ended stay. Arguments: node, number.
KEEP = Script(
    """
local value, by = redis.call('HGET', rows, ARGV[2]), redis.call('HGET', taken, ARGV[2])
if by == ARGV[1] .. '!' then redis.call('HDEL', taken, ARGV[2]) end
if value and by == ARGV[1] then
  redis.call('HDEL', taken, ARGV[2])
  local _, _, row = parse(value)
  tell_others(ARGV[1], 'new', row[1], '')
end
""",
    _BEGIN,
)

#: Begin anew as a node. Arguments: node, how many seconds it lives without a sign, a new epoch. Returns the epoch.
JOIN = Script(
    """
redis.call('DEL', base .. 'node:' .. ARGV[1])
redis.call('SET', base .. 'node:' .. ARGV[1], '', 'EX', ARGV[2])
redis.call('SET', base .. 'epoch', ARGV[3], 'NX')
return redis.call('GET', base .. 'epoch')
""",
    _BEGIN,
)

#: Store requests again that Redis has lost. Arguments: node, its time, origin, then for each: number, row.
RESTORE = Script(
    """
local shift = string.format('%.6f', ahead(ARGV[2]))
local last = tonumber(redis.call('GET', base .. 'last') or '0')
for i = 4, #ARGV, 2 do
  if redis.call('HEXISTS', rows, ARGV[i]) == 0 then
    add(ARGV[i], shift .. ' ' .. ARGV[3] .. ' ' .. ARGV[i + 1])
    if tonumber(ARGV[i]) > last then
      last = tonumber(ARGV[i])
      redis.call('SET', base .. 'last', ARGV[i])
    end
  end
end
""",
    _BEGIN,
)
