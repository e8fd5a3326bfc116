"""A shared store's entries in Redis or Valkey: one server, one with sentinels, or a cluster.

Keys are ``{browserid:REALM:SHARD}`` and behind it ``m`` for the mark, ``a`` and 16 octets for an
assertion, ``t`` and 16 octets for a ticket. A cluster has several shards, which the braces keep
together; else there is one. An assertion is a key with an empty value that is set unless it is
there, with the time of its end by the server's clock. A script does that together with reading the
mark, the server's time and its run id, so that no restart and no other server can come in between.

The server must not evict anything: one that is told to is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from browserid_sasl.database_url import DatabaseUrl
from browserid_sasl.errors import Code, StoreError
from browserid_sasl.store.engine import Admitted, Engine, Gone, Item, Table, untrusted

_T = TypeVar("_T")

SHARDS_OF_CLUSTER: Final = 64
"""Parts of a cluster, each of which is in one place: more primaries have nothing to do."""

_SCANNED_AT_ONCE: Final = 1000

# In one step: what was there before is known to be of the same run as the mark.
_ADMIT: Final = """
local info = redis.call('INFO', 'server')
local policy = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)')
local new = {}
for i = 2, #KEYS do
    local done = redis.call('SET', KEYS[i], '', 'NX', 'PXAT', ARGV[i - 1])
    new[i - 1] = done and 1 or 0
end
return {redis.call('TIME'), string.match(info, 'run_id:(%x+)'), policy,
    redis.call('GET', KEYS[1]), new}
"""


class RedisEngine:
    """An `Engine` in Redis or Valkey.

    :param url: of the server, the sentinels or the cluster.
    :param realm: the site's name in it.
    :param timeout: s to connect, and to wait for an answer.
    :param replicas: how many have to confirm an assertion before it counts.
    :param ca_file: of the authorities that certify the servers; None for the system's.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        realm: str,
        *,
        timeout: float,
        replicas: int = 0,
        ca_file: str | None = None,
    ) -> None:
        self._url = url
        self._realm = realm
        self._timeout = timeout
        self._replicas = replicas
        self._client: Any = None
        self._connect = _connector(url, timeout, ca_file)
        self.shards = SHARDS_OF_CLUSTER if url.kind == "cluster" else 1

    def admit(self, shard: int, items: Sequence[Item]) -> Admitted:
        keys = [self._mark(shard), *(self._key(Table.ASSERTION, item.name) for item in items)]
        told = self._run(lambda client: self._recorded(client, keys, items))
        (seconds, micros), run, policy, mark, new = told
        if policy != b"noeviction":
            raise StoreError(
                Code.CACHE_ERROR,
                f"{self._url} may forget assertions when its memory is full"
                f" (maxmemory-policy {policy.decode()})",
                "set its `maxmemory-policy` to noeviction",
            )
        now = int(seconds) * 1000 + int(micros) // 1000
        return Admitted(now, run.decode(), mark, [each == 1 for each in new])

    def set_mark(self, shard: int, mark: bytes) -> None:
        self._run(lambda client: client.set(self._mark(shard), mark))

    def look(self, shard: int) -> Admitted:
        return self.admit(shard, ())

    def add(self, table: Table, items: Sequence[Item]) -> Sequence[bool]:
        def add(client: Any) -> list[Any]:
            with client.pipeline(transaction=False) as pipeline:
                for item in items:
                    key = self._key(table, item.name)
                    pipeline.set(key, item.value, nx=True, pxat=item.until)
                done: list[Any] = pipeline.execute()
                return done

        return [bool(each) for each in self._run(add)]

    def get(self, table: Table, name: bytes) -> bytes | None:
        value: bytes | None = self._again(lambda client: client.get(self._key(table, name)))
        return value

    def delete(self, table: Table, name: bytes) -> bool:
        return bool(self._run(lambda client: client.delete(self._key(table, name))))

    def all(self, table: Table) -> Iterator[Item]:
        for keys in self._batches(table):
            yield from self._run(partial(self._items, keys=keys))

    def purge(self, table: Table, before: int) -> int:
        gone = 0
        for keys in self._batches(table):
            for item in self._run(partial(self._items, keys=keys)):
                gone += item.until < before and self.delete(table, item.name)
        return gone

    def drop_marks(self) -> None:
        for shard in range(self.shards):
            self._run(partial(_delete, key=self._mark(shard)))

    def clear(self) -> None:
        # The marks first: whoever is admitted meanwhile is in doubt.
        self.drop_marks()
        for table in Table:
            for keys in self._batches(table):
                for key in keys:
                    self._run(partial(_delete, key=key))

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _recorded(self, client: Any, keys: Sequence[bytes], items: Sequence[Item]) -> Any:
        command = ("EVAL", _ADMIT, len(keys), *keys, *(item.until for item in items))
        if not self._replicas or not items:
            return client.execute_command(*command)
        # On one connection: the server waits for what was written on it.
        with self._pipeline(client, keys[0]) as pipeline:
            pipeline.execute_command(*command)
            pipeline.execute_command("WAIT", self._replicas, int(self._timeout * 500))
            told, confirmed = pipeline.execute()
        if confirmed < self._replicas:
            raise StoreError(
                Code.UNAVAILABLE,
                f"{confirmed} of {self._replicas} replicas of {self._url} have confirmed an"
                " assertion in time",
                "see whether they run; `replicas` in [store] says how many have to confirm",
            )
        return told

    @contextmanager
    def _pipeline(self, client: Any, key: bytes) -> Iterator[Any]:
        if self._url.kind == "cluster":
            node = client.get_redis_connection(client.get_node_from_key(key))
            with node.pipeline(transaction=False) as pipeline:
                yield pipeline
        else:
            with client.pipeline(transaction=False) as pipeline:
                yield pipeline

    def _items(self, client: Any, keys: Sequence[bytes]) -> list[Item]:
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(key)
                pipeline.execute_command("PEXPIRETIME", key)
            told = pipeline.execute()
        each = zip(keys, told[::2], told[1::2], strict=True)
        return [Item(_name(key), until, value) for key, value, until in each if value is not None]

    def _batches(self, table: Table) -> Iterator[list[bytes]]:
        """The keys of a table's entries, so many at a time and each once."""
        pattern = b"{browserid:%s:*}%s*" % (self._realm.encode(), table.value.encode())
        found: set[bytes] = self._run(
            lambda client: set(client.scan_iter(match=pattern, count=_SCANNED_AT_ONCE))
        )
        listed = list(found)
        for start in range(0, len(listed), _SCANNED_AT_ONCE):
            yield listed[start : start + _SCANNED_AT_ONCE]

    def _mark(self, shard: int) -> bytes:
        return self._prefix(shard) + b"m"

    def _key(self, table: Table, name: bytes) -> bytes:
        return self._prefix(name[0] % self.shards) + table.value.encode() + name

    def _prefix(self, shard: int) -> bytes:
        return b"{browserid:%s:%d}" % (self._realm.encode(), shard)

    def _again(self, action: Callable[[Any], _T]) -> _T:
        """Do what may be done twice, once more if a connection was found to be broken."""
        try:
            return self._run(action)
        except Gone:
            return self._run(action)

    def _run(self, action: Callable[[Any], _T]) -> _T:
        try:
            if self._client is None:
                self._client = self._connect()
            return action(self._client)
        except redis.exceptions.RedisError as error:
            raise self._failure(error) from None
        except OSError as error:
            raise Gone(f"{self._url} cannot be reached ({error.strerror})") from None

    def _failure(self, error: redis.exceptions.RedisError) -> StoreError:
        # In our own words, as those of the package may have a command in them.
        match error:
            case redis.exceptions.AuthenticationError() | redis.exceptions.NoPermissionError():
                return StoreError(
                    Code.CACHE_ERROR,
                    f"{self._url} refuses the account of this host",
                    "see the user and the password in [store], and its ACL there",
                )
            case redis.exceptions.TimeoutError():
                return StoreError(
                    Code.UNAVAILABLE,
                    f"{self._url} has not answered within {self._timeout:g} s",
                    "see whether it runs, and what keeps it busy",
                )
            case redis.exceptions.OutOfMemoryError():
                return _full(self._url)
            case redis.exceptions.ResponseError() if "OOM" in str(error):
                return _full(self._url)
            case redis.exceptions.ResponseError():
                return StoreError(
                    Code.UNAVAILABLE,
                    f"{self._url} does not do what it is asked ({str(error).split(' ')[0][:20]})",
                    "it has to be Redis 7.0 or Valkey, and the primary: see its log",
                )
            case _ if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return untrusted(self._url)
            case _:
                return Gone(f"{self._url} cannot be reached, or has closed the connection")


def _delete(client: Any, key: bytes) -> Any:
    return client.delete(key)


def _full(url: DatabaseUrl) -> StoreError:
    return StoreError(
        Code.CACHE_ERROR,
        f"the memory of {url} is full",
        "give it more (`maxmemory`); logins work again as entries expire",
    )


def _name(key: bytes) -> bytes:
    return key[key.index(b"}") + 2 :]


def _connector(url: DatabaseUrl, timeout: float, ca_file: str | None) -> Callable[[], Any]:
    """Makes the client, without connecting to a single server yet."""
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # What was not answered may have been done: we know what to try again, the package does not.
        "retry": Retry(NoBackoff(), 0),
    }
    if url.user or url.password:
        options |= {"username": url.user or None, "password": url.password or None}
    if url.tls:
        options |= {"ssl": True, "ssl_check_hostname": True, "ssl_cert_reqs": "required"}
        options["ssl_ca_certs"] = ca_file
    if url.kind == "sentinel":
        return lambda: _by_sentinels(url, options)
    if url.kind == "cluster":
        return lambda: _cluster(url, options)
    [(host, port)] = url.hosts
    return lambda: redis.Redis(host=host, port=port, db=int(url.database), **options)


def _by_sentinels(url: DatabaseUrl, options: dict[str, Any]) -> Any:
    make: Any = redis.sentinel.Sentinel
    sentinels = make(list(url.hosts), sentinel_kwargs=options, **options)
    return sentinels.master_for(url.database, **options)


def _cluster(url: DatabaseUrl, options: dict[str, Any]) -> Any:
    make: Any = redis.cluster.ClusterNode
    nodes = [make(host, port) for host, port in url.hosts]
    return redis.cluster.RedisCluster(startup_nodes=nodes, **options)


def make_engine(
    url: DatabaseUrl, realm: str, *, timeout: float, replicas: int, ca_file: str | None
) -> Engine:
    """An `Engine` in Redis or Valkey; see `RedisEngine`."""
    return RedisEngine(url, realm, timeout=timeout, replicas=replicas, ca_file=ca_file)
