"""
client: one browser or Outlook of the leak matrix: a TLS connection with a user behind it, or nobody, and the
judge of every answer that comes over it.

Each request asks the simulated CAS for an answer that bears a tag of its own. An answer is a LEAK if it names
another user than the one whose connection this is, or if it bears the tag of another request. Besides, it is
noted when a logged-on connection is answered as nobody's (LOST: the proxy changed the connection behind it),
when a logon fails (BROKEN), and when one connection to the CAS serves two clients (SHARED; a fault only of
casgate, which promises otherwise).

HTTP is read by hand: an oracle must not share the proxy's bugs.
"""
import asyncio
import base64
import itertools
import socket
import struct

from world import HOST, SOON


class Gone(Exception):
    """The connection has ended without the answer."""


class Score:
    """What one cell of the matrix has seen."""

    def __init__(self):
        self.requests = self.leaks = self.lost = self.broken = self.shared = 0
        self.owners = {}     # connection to the CAS: serial number of the client that used it
        self.examples = []

    def note(self, kind, text):
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < 4:
            self.examples.append(f'{kind}: {text}')


class Answer:
    def __init__(self, status, headers):
        self.status, self.headers = status, headers

    def get(self, name, default=None):
        return next((value for key, value in self.headers if key == name), default)

    def challenges(self, schemes):
        """In the middle of a handshake: with data."""
        return any(key == 'www-authenticate' and value.startswith(schemes) and ' ' in value
            for key, value in self.headers)


async def read_answer(reader):
    """One response to GET or POST, its body thrown away."""
    head = (await reader.readuntil(b'\r\n\r\n')).decode('latin-1').split('\r\n')
    answer = Answer(int(head[0].split()[1]), [(line.split(':', 1)[0].lower(),
        line.split(':', 1)[1].strip()) for line in head[1:] if ':' in line])
    if answer.status == 100:
        return await read_answer(reader)
    if answer.get('content-length') is not None:
        await reader.readexactly(int(answer.get('content-length')))
    elif answer.get('transfer-encoding') == 'chunked':
        size = 1
        while size:
            size = int(await reader.readuntil(b'\r\n'), 16)
            await reader.readexactly(size + 2)
    else:
        await reader.read()
    return answer


def b64(data):
    return base64.b64encode(data).decode()


def ntlm_type1():
    return b64(b'NTLMSSP\0' + struct.pack('<IIQQ', 1, 0xe2088297, 0, 0))


def ntlm_type3(user):
    """MS-NLMP 2.2.1.3 with a user name and nothing else; the simulated CAS asks for no proof."""
    name = user.encode('utf-16-le')
    empty = struct.pack('<HHI', 0, 0, 64)
    named = struct.pack('<HHI', len(name), len(name), 64)
    return b64(b'NTLMSSP\0' + struct.pack('<I', 3) + empty * 3 + named + empty * 2 +
        struct.pack('<I', 0xe2088295) + name)


class Client:
    numbers = itertools.count(1)
    tags = itertools.count(1)

    def __init__(self, port, tls, score, scheme, user):
        self.port, self.tls, self.score = port, tls, score
        self.scheme, self.user = scheme, user    # user None: a visitor without credentials
        self.number = next(self.numbers)
        self.logged_on = False    # and so answers name the user
        self.challenged = False   # the last answer was a challenge with data
        self.closing = False      # and said Connection: close
        self.reader = self.writer = None

    async def open(self):
        async with asyncio.timeout(SOON):
            self.reader, self.writer = await asyncio.open_connection('127.0.0.1', self.port, ssl=self.tls,
                server_hostname=HOST)

    def close(self):
        if self.writer:
            self.writer.close()

    def reset(self):
        self.writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
            struct.pack('ii', 1, 0))
        self.writer.transport.abort()

    def request(self, sim='', auth=None, method='GET', length=0):
        """The head of a request, and its tag."""
        tag = f't{next(self.tags)}'
        lines = [f'{method} {self.scheme.path} HTTP/1.1', f'Host: {HOST}',
            f'X-Sim: {self.scheme.script if "=" not in sim.replace("auth=", "") else ""} '
            f'header=X-Tag:{tag} {sim}']
        if method == 'POST':
            lines.append(f'Content-Length: {length}')
        lines += self.scheme.fields(self) if auth is None else [f'Authorization: {auth}']
        return ('\r\n'.join(lines) + '\r\n\r\n').encode(), tag

    def judge(self, answer, tag):
        """Whose answer is it?"""
        score, who = self.score, answer.get('x-sim-user')
        score.requests += 1
        self.challenged = answer.status == 401 and answer.challenges(('NTLM', 'Negotiate'))
        self.closing = answer.get('connection', '').lower() == 'close'
        if who is None:
            return    # the proxy's own
        if who not in ('-', self.user):
            score.note('leaks', f'{self.user} was answered as {who}')
        if answer.get('x-tag') not in (None, tag):
            score.note('leaks', f'{self.user} got the answer to another request')
        if who == '-' and self.logged_on and self.scheme.binds:
            score.note('lost', f'{self.user} was answered as nobody ({answer.status})')
            self.logged_on = False
        owner = score.owners.setdefault(answer.get('x-sim-conn'), self.number)
        if owner != self.number:
            score.note('shared', 'two clients on one connection')

    async def _exchange(self, pieces, tags):
        """Writes the pieces, each but the first when the answer is there or does not come, reads len(tags)
        answers."""
        answers = []
        if self.closing:
            raise Gone
        try:
            async with asyncio.timeout(SOON):
                self.writer.write(pieces[0])
                reading = asyncio.ensure_future(read_answer(self.reader))
                for piece in pieces[1:]:
                    await asyncio.wait([reading], timeout=0.3)
                    self.writer.write(piece)
                    await self.writer.drain()
                for tag in tags:
                    if answers:
                        reading = asyncio.ensure_future(read_answer(self.reader))
                    answers.append(await reading)
                    self.judge(answers[-1], tag)
        except TimeoutError:
            self.score.note('broken', 'no answer in time')
            raise Gone from None
        except (OSError, EOFError, ValueError) as fault:    # asyncio's and ssl's among them
            raise Gone from fault
        return answers

    async def ask(self, sim='', auth=None):
        head, tag = self.request(sim, auth)
        return (await self._exchange([head], [tag]))[0]

    async def ask_pipelined(self, count, first_auth=None):
        requests = [self.request(auth=first_auth if n == 0 else None) for n in range(count)]
        return await self._exchange([b''.join(head for head, _ in requests)],
            [tag for _, tag in requests])

    async def post(self, size, sim='', auth=None):
        """A body whose second half is sent when an early answer is there, or does not come."""
        head, tag = self.request(sim, auth, 'POST', size)
        half = bytes(size // 2)
        return (await self._exchange([head + half, bytes(size - len(half))], [tag]))[0]

    async def log_on(self, send=None):
        """With all legs on this connection. send: how requests of it are sent, ask by default."""
        if not self.user:
            return
        self.logged_on = False
        try:
            answer = await self.scheme.log_on(self, send or self.ask)
        except Gone:
            if self.challenged:
                self.score.note('broken', f'{self.user}: the connection ended in the middle of a logon')
            raise
        if answer.status == 200 and answer.get('x-sim-user') == self.user:
            self.logged_on = True
        else:
            self.score.note('broken', f'{self.user}: a logon ended in {answer.status} as '
                f'{answer.get("x-sim-user")}')


class Scheme:
    """How a user shows who they are."""

    path = '/EWS/Exchange.asmx'
    binds = True                    # the connection, as on Exchange
    script = 'status=200 size=20'   # what is asked of the simulated CAS besides

    def fields(self, client):
        return []


class Ntlm(Scheme):
    name, demand = 'NTLM', 'auth=ntlm'

    async def log_on(self, client, send):
        await send('auth=ntlm')
        await send('auth=ntlm', 'NTLM ' + ntlm_type1())
        return await send('auth=ntlm', 'NTLM ' + ntlm_type3(client.user))


class Negotiate(Scheme):
    name, demand = 'Negotiate', 'auth=negotiate'

    async def log_on(self, client, send):
        await send('auth=negotiate')
        await send('auth=negotiate', 'Negotiate ' + b64(f'sim-leg1 {client.user}'.encode()))
        return await send('auth=negotiate', 'Negotiate ' + b64(f'sim-leg2 {client.user}'.encode()))


class Preauthenticated(Scheme):
    name, demand = 'Kerberos', 'auth=negotiate'

    @staticmethod
    def token(client):
        return 'Negotiate ' + b64(f'sim-krb {client.user}'.encode())

    async def log_on(self, client, send):
        return await send('auth=negotiate', self.token(client))


class Basic(Scheme):
    name, demand = 'Basic', 'auth=basic'
    binds = False

    def fields(self, client):
        return ['Authorization: Basic ' + b64(f'{client.user}:secret'.encode())] if client.user else []

    async def log_on(self, client, send):
        return await send('')


class Cookie(Scheme):
    name, demand = 'cookie', 'status=401'
    path = '/owa/'
    binds = False
    script = ''    # its own answer knows the cookie, a scripted one does not

    def fields(self, client):
        return ['Cookie: cadata=' + b64(client.user.encode())] if client.user else []

    async def log_on(self, client, send):
        return await send('')


SCHEMES = [Ntlm(), Negotiate(), Preauthenticated(), Basic(), Cookie()]
