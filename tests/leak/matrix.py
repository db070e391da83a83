#!/usr/bin/python3
"""
matrix: does one client ever get what belongs to another?

    {client close, server close, 401 in the body, reload, drain, retry, pipelined}
        × {NTLM, Negotiate in legs, pre-authenticated Kerberos, Basic, cookie}

In each cell two users and nobody (visitors without credentials: they show best whose connection they got)
are interleaved over many connections at once:

    open ─> log on ─> ask ─> what the row says happens ─> ask again, on fresh connections where theirs ended,
                                                          with the roles changed

usage: matrix.py [--full] [--rows TEXT] [PROXY...]

Without --full: casgate alone over fewer connections. With it 200 connections, some ten thousand requests and
more per proxy, and the same matrix with HAProxy and nginx as controls: the matrix must find leaks there, or it
is blind. The last line is "N passed, N failed": the cells of casgate.
"""
import argparse
import asyncio
import pathlib
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'support'))
sys.dont_write_bytecode = True

from client import SCHEMES, Client, Gone, Score
from peers import Haproxy, Nginx, missing
from world import CERTS, Casgate, Sim, World

USERS = ('alice', 'bobby', None)
BODY = 40000    # more than a proxy's usual buffers


class Cell:
    """One scheme in one row, through one proxy."""

    def __init__(self, proxy, sim, tls, scheme, count):
        self.proxy, self.sim, self.tls, self.scheme = proxy, sim, tls, scheme
        self.score = Score()
        self.clients = [self.client(USERS[n % 3]) for n in range(count)]

    def client(self, user):
        return Client(self.proxy.port, self.tls, self.score, self.scheme, user)

    async def all(self, do):
        """Everybody at once; who lost the connection is replaced by somebody else."""
        results = await asyncio.gather(*(do(n, client) for n, client in enumerate(self.clients)),
            return_exceptions=True)
        for n, result in enumerate(results):
            if isinstance(result, Gone):
                await self.replace(n)
            elif isinstance(result, BaseException):
                raise result

    async def replace(self, n):
        client = self.clients[n]
        client.close()
        self.clients[n] = self.client(USERS[(USERS.index(client.user) + 1) % 3])
        await self.clients[n].open()

    async def start(self):
        await self.all(lambda n, client: client.open())

    async def log_on(self):
        async def do(n, client):
            await (client.log_on() if client.user else client.ask())
        await self.all(do)

    async def ask(self, times=2):
        async def do(n, client):
            for _ in range(times):
                await client.ask()
        await self.all(do)

    def finish(self):
        for client in self.clients:
            client.close()


async def client_close(cell):
    """A third leave in the middle of an answer, a third between two; others take their places."""
    await cell.log_on()
    await cell.ask(1)

    async def do(n, client):
        if n % 3 == 0:
            head, _ = client.request('size=200000 chunk-size=1000 interval=5')
            client.writer.write(head)
            await client.writer.drain()
            client.reset()
        elif n % 3 == 1:
            client.close()
        else:
            await client.ask()
        if n % 3 != 2:
            raise Gone
    await cell.all(do)
    await cell.ask(1)
    await cell.log_on()
    await cell.ask(1)


async def server_close(cell):
    """All connections of all servers are reset, with requests in flight and without."""
    await cell.log_on()
    await cell.ask(1)

    async def do(n, client):
        if n == 0:
            cell.sim.kill_connections()
        await client.ask('delay=20' if n % 2 else '')
        await client.ask()
    await cell.all(do)
    await cell.ask()


async def body_401(cell):
    """Every leg is a POST; its 401 comes while half of the body is still to be sent."""
    async def do(n, client):
        async def send(sim='', auth=None):
            early = client.scheme.demand if 'auth=' not in sim and not client.user else sim
            return await client.post(BODY, early + ' early=1', auth)
        try:
            await (client.log_on(send) if client.user else send())
        except Gone:    # nothing here is a reason to close
            cell.score.note('broken', f'{client.user}: the connection ended around a body')
            raise
    await cell.all(do)
    await cell.ask()


async def reload(cell):
    await cell.log_on()

    async def do(n, client):
        if n in (1, len(cell.clients) // 2):
            cell.proxy.reload()
        for _ in range(3):
            await client.ask()
    await cell.all(do)
    await cell.log_on()
    await cell.ask(1)


async def drain(cell):
    """One server after the other is taken out while its users go on, and put back."""
    await cell.log_on()
    for server in ('cas1', 'cas2'):
        async def do(n, client):
            if n == 1:
                cell.proxy.order('drain', server)
            if n % 4 == 3:
                raise Gone
            for _ in range(2):
                await client.ask()
        await cell.all(do)
        await cell.log_on()
        cell.proxy.order('ready', server)
    await cell.ask(1)


async def retry(cell):
    """Servers reset reused connections instead of answering: a proxy may repeat some of these requests."""
    await cell.log_on()
    await cell.ask(1)

    async def do(n, client):
        await client.ask('no-answer=1' if n % 2 else '')
        await client.ask()
    await cell.all(do)
    await cell.all(do)
    await cell.ask(1)


async def pipelined(cell):
    """Four requests in one piece, the first of them the logon where one is enough."""
    if cell.scheme.name != 'Kerberos':
        await cell.log_on()

    async def do(n, client):
        first = None
        if client.user and cell.scheme.name == 'Kerberos':
            first = cell.scheme.token(client)
        await client.ask_pipelined(4, first)
        client.logged_on = client.user is not None
        await client.ask_pipelined(3)
    await cell.all(do)
    await cell.ask(1)


ROWS = [('client close', client_close), ('server close', server_close), ('401 in the body', body_401),
    ('reload', reload), ('drain', drain), ('retry', retry), ('pipelined', pipelined)]


def is_clean(score):
    """As casgate must be: nothing noted, and a good end."""
    return not score.examples


def describe(score):
    if score is None:
        return 'left out'
    words = [f'{number} {kind}' for kind, number in (('LEAKED', score.leaks), ('lost', score.lost),
        ('broken', score.broken)) if number]
    return f'{score.requests:5} ' + (', '.join(words) or 'ok')


async def run_cell(proxy, sim, tls, scheme, play, count):
    cell = Cell(proxy, sim, tls, scheme, count)
    await cell.start()
    await play(cell)
    cell.finish()
    return cell.score


def run(make, count, wanted):
    """The matrix through one proxy, which is started anew for each cell so that none inherits connections.
    Its title and its scores."""
    tls = ssl.create_default_context(cafile=str(CERTS / 'ca.pem'))
    scores, title = {}, make.name
    with World() as world:
        sim = Sim(world)
        for row, play in ROWS:
            for scheme in SCHEMES:
                if wanted not in f'{row} {scheme.name}':
                    continue
                score = scores[row, scheme.name] = None
                proxy = make(world, sim.servers)
                title = f'{make.name} {proxy.version()}'
                if play is drain and not getattr(proxy, 'has_orders', False):
                    proxy.finish()
                    continue
                score = asyncio.run(run_cell(proxy, sim, tls, scheme, play, count))
                score.examples += [f'its end: {fault}' for fault in proxy.finish()]
                scores[row, scheme.name] = score
    return title, scores


def print_table(columns):
    keys = list(columns[0][1])
    print(f'{"":17}{"":11}' + ''.join(f'{title:34}' for title, _ in columns))
    for row, scheme in keys:
        print(f'{row:17}{scheme:11}' +
            ''.join(f'{describe(scores[row, scheme]):34}' for _, scores in columns).rstrip())
    totals = []
    for _, scores in columns:
        total = Score()
        for score in filter(None, scores.values()):
            for kind in ('requests', 'leaks', 'lost', 'broken'):
                setattr(total, kind, getattr(total, kind) + getattr(score, kind))
        totals.append(describe(total))
    print(f'{"all":28}' + ''.join(f'{text:34}' for text in totals).rstrip())


def main():
    parser = argparse.ArgumentParser(usage='matrix.py [--full] [--rows TEXT] [PROXY...]')
    parser.add_argument('--full', action='store_true')
    parser.add_argument('--rows', default='', help='only cells whose name contains this')
    parser.add_argument('proxies', nargs='*')
    options = parser.parse_args()
    makes = {make.name: make for make in (Casgate, Haproxy, Nginx)}
    names = options.proxies or (list(makes) if options.full else ['casgate'])
    if any(name != 'casgate' for name in names) and missing():
        sys.exit(f'not installed: {", ".join(missing())}')
    columns = [run(makes[name], 200 if options.full else 15, options.rows) for name in names]
    print_table(columns)
    passed = failed = 0
    for name, (title, scores) in zip(names, columns):
        if name != 'casgate':
            continue
        for key, score in scores.items():
            if score is None:
                continue
            if is_clean(score):
                passed += 1
                continue
            failed += 1
            print(f'FAILED {title}: {", ".join(key)}: ' + '; '.join(score.examples))
    controls = [scores for name, (_, scores) in zip(names, columns) if name != 'casgate']
    if controls and not any(score and score.leaks for scores in controls for score in scores.values()):
        failed += 1
        print('FAILED: no control leaks: the matrix sees nothing')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
