"""What Redis holds of a cluster, and the Lua scripts that change it.

All keys begin with the prefix in braces, so that they are on one machine of a sharded Redis:

=====================  ==========  ==================================================================================
``{ocppj}:nodes``      sorted set  each node, with the time at which its lease runs out, in microseconds of Redis' clock
``{ocppj}:clients``    hash        each client: ``NODE CLAIM NUMBER ABOUT``, where ``ABOUT`` is JSON
``{ocppj}:held:NODE``  set         the clients of a node, so that a dead one can be swept
``{ocppj}:inbox:NODE`` stream      what a node has to read; trimmed by its reader
``{ocppj}:events:...`` channels    Pub/Sub: the number of the database, which Pub/Sub has not, and the kind of event
=====================  ==========  ==================================================================================

The number of a claim orders connections: the time at which the connection began, by Redis' clock. A script that adds to
a stream looks first that the node is there: so the stream of a node that is gone is not made again.

A command may come late to Redis: it was in the buffer of a connection while Redis hung, or the network delivered it
when its sender had given up. So the sender says when it has sent it, in milliseconds by Redis' clock as far as it knows
that (0: it does not), and for how many it may be on its way (``patience``). What comes later does nothing.

In a Redis that is full, a script may write on if its first write needs no memory. `RENEW` and `JOIN` begin with such a
one.
"""

from __future__ import annotations

import hashlib
from typing import List, Protocol, Sequence, Union

__all__ = ["HOLDER", "JOIN", "LIVING", "POST", "REMOVE", "RENEW", "REPLY", "SYNC", "Keys", "Names", "Script"]

Word = Union[str, bytes, int]


class Names(Protocol):
    """The names of keys."""

    def all(self) -> List[str]:
        """Return what each script gets as its keys."""


class Keys:
    """The names of the keys of one cluster, in the database of that number."""

    def __init__(self, prefix: str, database: int = 0) -> None:
        begin = "{" + prefix + "}:"
        self.nodes: str = begin + "nodes"
        self.clients: str = begin + "clients"
        self.held: str = begin + "held:"
        self.inbox: str = begin + "inbox:"
        self.events: str = f"{begin}events:{database}:"

    def all(self) -> List[str]:
        """Return what each script gets as its keys. To the last two a script adds the id of a node."""
        return [self.nodes, self.clients, self.held, self.inbox]


_BEGIN = """
local nodes, clients, held, inbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function parse(text)
  return string.match(text, '^(%S+) (%S+) (%d+) (.*)$')
end
local function is_late(sent, patience)
  return tonumber(sent) > 0 and now > (sent + patience) * 1000
end
local function remove(node)
  for _, client in ipairs(redis.call('SMEMBERS', held .. node)) do
    local text = redis.call('HGET', clients, client)
    if text and parse(text) == node then redis.call('HDEL', clients, client) end
  end
  redis.call('DEL', held .. node, inbox .. node)
  if redis.call('ZREM', nodes, node) == 1 then
    for _, other in ipairs(redis.call('ZRANGE', nodes, 0, -1)) do
      redis.call('XADD', inbox .. other, '*', 'left', node)
    end
  end
end
"""


class Script:
    """A Lua script, as the words of a command. ``begin`` is what it has in common with others."""

    def __init__(self, text: str, begin: str = _BEGIN) -> None:
        self._text = begin + text
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()  # as Redis names it

    def words(self, keys: Names, arguments: Sequence[Word], whole: bool = False) -> List[Word]:
        """Return the command that runs it by its name, or by its ``whole`` text, which Redis then remembers."""
        names = keys.all()
        return ["EVAL" if whole else "EVALSHA", self._text if whole else self._sha, len(names), *names, *arguments]


#: Add a node, or let it begin anew. Arguments: node, microseconds of its lease.
JOIN = Script("""
redis.call('DEL', inbox .. ARGV[1])
redis.call('ZADD', nodes, string.format('%.0f', now + ARGV[2]), ARGV[1])
return string.format('%.0f', now)
""")

#: Prolong the lease of a node, and sweep one whose lease has run out. Arguments: node, microseconds, the time until
#: which it may sweep (0: it may not), whether all nodes are listed. Returns: whether the node is known, the time, the
#: nodes. A Redis that did not run for a while runs old commands when it goes on. They must not sweep the nodes that
#: waited for it.
RENEW = Script("""
local known = 0
if redis.call('ZSCORE', nodes, ARGV[1]) then
  known = 1
  redis.call('ZREM', nodes, '')
  redis.call('ZADD', nodes, string.format('%.0f', now + ARGV[2]), ARGV[1])
  if now <= tonumber(ARGV[3]) then
    for _, dead in ipairs(redis.call('ZRANGEBYSCORE', nodes, '-inf', string.format('%.0f', now), 'LIMIT', 0, 1)) do
      remove(dead)
    end
  end
end
return {known, string.format('%.0f', now), ARGV[4] == '1' and redis.call('ZRANGE', nodes, 0, -1) or {}}
""")

#: Take a node away, and all its claims, and tell the others. Argument: node.
REMOVE = Script("remove(ARGV[1])")

#: Make claims, and take claims back. Arguments: node, sent, patience, then for each client: client, claim, the age of
#: the connection in microseconds (negative: take the claim back, or any of this node if it is ""), about. Returns nil
#: if the node is not known, or this is late; else for each client 1, or 0 if another node holds a newer connection.
SYNC = Script("""
local node, sent = ARGV[1], tonumber(ARGV[2]) * 1000
if is_late(ARGV[2], ARGV[3]) or not redis.call('ZSCORE', nodes, node) then return false end
local moment = sent > 0 and math.min(now, sent) or now
local function take_back(client, claim)
  local text = redis.call('HGET', clients, client)
  local holder, held_claim
  if text then holder, held_claim = parse(text) end
  if holder == node and claim ~= '' and claim ~= held_claim then return 1 end
  if holder == node then redis.call('HDEL', clients, client) end
  redis.call('SREM', held .. node, client)
  return 1
end
local function claim_it(client, claim, age, about)
  local number = moment - age
  local text = redis.call('HGET', clients, client)
  local holder, held_claim, held_number
  if text then holder, held_claim, held_number = parse(text) end
  if holder and holder ~= node and not redis.call('ZSCORE', nodes, holder) then holder = nil end
  if holder and holder ~= node and tonumber(held_number) > number then
    redis.call('SREM', held .. node, client)
    return 0
  end
  redis.call('HSET', clients, client, string.format('%s %s %.0f %s', node, claim, number, about))
  redis.call('SADD', held .. node, client)
  if holder and holder ~= node then
    redis.call('SREM', held .. holder, client)
    redis.call('XADD', inbox .. holder, '*', 'lost', client, 'claim', held_claim)
  end
  return 1
end
local done = {}
for i = 4, #ARGV, 4 do
  local age = tonumber(ARGV[i + 2])
  if age < 0 then
    done[#done + 1] = take_back(ARGV[i], ARGV[i + 1])
  else
    done[#done + 1] = claim_it(ARGV[i], ARGV[i + 1], age, ARGV[i + 3])
  end
end
return done
""")

#: Return what is known of a client, or nil if no living node holds it. Argument: client.
HOLDER = Script("""
local text = redis.call('HGET', clients, ARGV[1])
if not text then return false end
local lease = redis.call('ZSCORE', nodes, (parse(text)) or '')
if lease and tonumber(lease) > now then return text end
return false
""")

#: Return the living nodes.
LIVING = Script("return redis.call('ZRANGEBYSCORE', nodes, string.format('(%.0f', now), '+inf')")

#: Add a message to the inbox of the node that holds a client. Arguments: client, sender, message, most entries, sent,
#: patience. Returns: the node; nil: no living node holds the client; 0: the inbox is full; -1: this is late.
POST = Script("""
if is_late(ARGV[5], ARGV[6]) then return -1 end
local text = redis.call('HGET', clients, ARGV[1])
if not text then return false end
local node = parse(text)
local lease = redis.call('ZSCORE', nodes, node or '')
if not lease or tonumber(lease) <= now then return false end
if redis.call('XLEN', inbox .. node) >= tonumber(ARGV[4]) then return 0 end
redis.call('XADD', inbox .. node, '*', 'from', ARGV[2], 'message', ARGV[3], 'at', ARGV[5])
return node
""")

#: Add a message to the inbox of a node. Arguments: node, sender, message, most entries, the time at which it was sent.
#: Returns 1; nil: that node is gone; 0: the inbox is full.
REPLY = Script("""
local node = ARGV[1]
if not redis.call('ZSCORE', nodes, node) then return false end
if redis.call('XLEN', inbox .. node) >= tonumber(ARGV[4]) then return 0 end
redis.call('XADD', inbox .. node, '*', 'from', ARGV[2], 'message', ARGV[3], 'at', ARGV[5])
return 1
""")
