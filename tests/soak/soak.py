#!/usr/bin/python3
"""soak: all protocols, faults and orders at once, for minutes; ends with a verdict.

    clients (threads, raw sockets) ──TLS──> casgate ──> cas-sim
    chaos: kills, closed listeners, failing health pages, reloads, drains, clients that leave
    watch: memory and descriptors of casgate, every second

Every request has a name of its own in its query. At the end it must be known of each of them how it ended: answered
in full, with the bytes that were to be expected; refused or cut while a fault was under way; or left by its client.
Every answered one has exactly one line in the access log, with the same status. An identity is only ever seen by who
has shown it. Memory and descriptors are flat after the warm-up.

    tests/soak/soak.py MINUTES [--clients N] [--seed N] [--casgate PATH] [--cas-sim PATH] [--certs DIR]
"""
import argparse
import base64
import collections
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HOST = "mail.contoso.test"
PATTERN = bytes((i * 31 + (i >> 8) * 17 + 7) & 0xFF for i in range(1 << 16))
GRACE_S = 2.0
PATIENCE_S = 40.0


def pattern(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


class Cut(Exception):
    """The connection ended, or nothing came, before the answer was whole."""


class Wrong(Exception):
    """What came is not what was to be expected, fault or no fault."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Client:
    """One connection of one client."""

    def __init__(self, world, tls=True):
        self.world = world
        self.number = world.name()
        self.data = b""
        try:
            sock = socket.create_connection(("127.0.0.1", world.port if tls else world.redirect), PATIENCE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = world.tls.wrap_socket(sock, server_hostname=HOST) if tls else sock
        except OSError as error:
            raise Cut(f"connecting: {error.__class__.__name__}") from None

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def reset(self):
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Cut(f"sending: {error.__class__.__name__}") from None

    def fill(self):
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise Cut(f"reading: {error.__class__.__name__}") from None
        if not data:
            raise Cut("ended")
        self.data += data

    def take(self, size):
        while len(self.data) < size:
            self.fill()
        data, self.data = self.data[:size], self.data[size:]
        return data

    def line(self):
        while b"\r\n" not in self.data:
            self.fill()
        line, self.data = self.data.split(b"\r\n", 1)
        return line.decode("latin-1")

    def head(self):
        first = self.line()
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", first)
        if not match:
            raise Wrong(f"no status line: {first[:60]!r}")
        headers = {}
        while line := self.line():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(match[1]), headers

    def body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.line(), 16):
                parts.append(self.take(size))
                if self.line():
                    raise Wrong("no CRLF behind a chunk")
            if self.line():
                raise Wrong("trailers")
            return b"".join(parts)
        if "content-length" not in headers:
            raise Wrong("no framing")
        return self.take(int(headers["content-length"]))

    def send_request(self, method, target, fields, body=b"", length=True):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}"] + fields
        if length and (body or method == "POST"):
            lines.append(f"Content-Length: {len(body)}")
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode() + body)

    def ask(self, method, path, fields=(), body=b"", chunks=False):
        """One request and its whole answer. What becomes of it is noted."""
        name = self.world.name()
        target = f"{path}{'&' if '?' in path else '?'}soak={name}"
        began = time.monotonic()
        try:
            if chunks:
                half = len(body) // 2
                pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:half], body[half:]) if p)
                self.send_request(method, target, list(fields) + ["Transfer-Encoding: chunked"], b"", False)
                self.send(pieces + b"0\r\n\r\n")
            else:
                self.send_request(method, target, list(fields), body)
            status, headers = self.head()
            while status < 200:
                status, headers = self.head()
            answer = Answer(status, headers, self.body(headers))
        except Cut as cut:
            self.world.note(name, began, None, str(cut))
            raise
        self.world.note(name, began, answer.status, "")
        return answer


class World:
    """casgate, its farm, and what is known of every request."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.number = 0
        self.outcomes = {}
        self.faults = []
        self.wrong = []
        self.left = collections.Counter()
        self.orders = collections.Counter()
        self.owners = {}
        self.ending = False
        self.tls = ssl.create_default_context(cafile=f"{options.certs}/ca.pem")
        self.directory = tempfile.mkdtemp(prefix="casgate-soak-")
        self.access = open(f"{self.directory}/access.log", "wb")
        self.facts = open(f"{self.directory}/facts.log", "wb")

    # ---- programs -----------------------------------------------------------------------------------

    def start(self, *argv, out, err):
        reader, writer = os.pipe()
        process = subprocess.Popen([*argv, "--ready-fd", str(writer)], pass_fds=[writer], stdout=out, stderr=err)
        os.close(writer)
        with os.fdopen(reader) as ready:
            lines = []
            for line in ready:
                if line == "ready\n":
                    return process, lines
                lines.append(line.strip())
        raise SystemExit(f"soak: {argv[0]} did not start; see {self.directory}")

    def configure(self, variant=0):
        admin = f"admin: unix:{self.directory}/admin.sock\n" if self.has_admin else ""
        routes = ["", "  routes: {owa: {idle: 800s}}\n", "  balance: round-robin\n"][variant % 3]
        with open(f"{self.directory}/next.yaml", "w", encoding="ascii") as file:
            file.write(
                f"listen: 127.0.0.1:0\nredirect: 127.0.0.1:0\n{admin}workers: 2\n"
                f"certificate: {{chain: {self.options.certs}/server.pem, key: {self.options.certs}/server.key}}\n"
                f"farm:\n  preset: exchange-2013\n  bridge: {{verify: same-certificate}}\n{routes}  servers:\n")
            for name, plain, tls in self.servers:
                file.write(f"    - {{name: {name}, address: 127.0.0.1, http-port: {plain}, https-port: {tls}}}\n")
        os.replace(f"{self.directory}/next.yaml", f"{self.directory}/casgate.yaml")

    def is_valid(self):
        return subprocess.run([self.options.casgate, "check", "-c", f"{self.directory}/casgate.yaml"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def begin(self):
        o = self.options
        self.farm, lines = self.start(o.cas_sim, "--servers", "3", "--no-events", "--cert", f"{o.certs}/server.pem",
                                      "--key", f"{o.certs}/server.key", out=subprocess.DEVNULL, err=self.facts)
        text = "\n".join(lines)
        self.servers = re.findall(r"^(\S+) plain \S+:(\d+) tls \S+:(\d+)$", text, re.M)
        self.control_port = int(re.search(r"^control \S+:(\d+)$", text, re.M)[1])
        for self.has_admin in (True, False):
            self.configure()
            if self.is_valid():
                break
        self.casgate, lines = self.start(o.casgate, "run", "-c", f"{self.directory}/casgate.yaml", out=self.access,
                                         err=self.facts)
        text = "\n".join(lines)
        self.port = int(re.search(r"^tls \S+:(\d+)$", text, re.M)[1])
        self.redirect = int(re.search(r"^redirect \S+:(\d+)$", text, re.M)[1])

    def command(self, text):
        with socket.create_connection(("127.0.0.1", self.control_port), 10) as control:
            control.sendall(text.encode() + b"\n")
            if not control.recv(4096).startswith(b"ok"):
                raise SystemExit(f"soak: cas-sim does not know: {text}")

    def order(self, server, verb):
        """drain, maintenance or ready, over the admin socket. False: there is none."""
        if not self.has_admin:
            return False
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(10)
            admin.connect(f"{self.directory}/admin.sock")
            admin.sendall(f"POST /api/v1/servers/{server}/{verb} HTTP/1.1\r\nHost: localhost\r\n"
                          f"Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
            return admin.recv(4096).startswith(b"HTTP/1.1 200")

    # ---- what is known --------------------------------------------------------------------------------

    def name(self):
        with self.lock:
            self.number += 1
            return f"r{self.number}"

    def note(self, name, began, status, cause):
        with self.lock:
            self.outcomes[name] = (began, time.monotonic(), status, cause)

    def accuse(self, sentence):
        with self.lock:
            if len(self.wrong) < 50:
                self.wrong.append(f"{time.strftime('%H:%M:%S')} {sentence}")

    def own(self, answer, who):
        """A CAS connection serves one client connection, for life."""
        number = answer.headers.get("x-sim-conn")
        if number:
            with self.lock:
                if self.owners.setdefault(number, who) != who:
                    self.wrong.append(f"CAS connection {number} has served two clients")

    def in_fault(self, began, ended):
        return any(began - GRACE_S <= until + GRACE_S and since <= ended + GRACE_S for since, until in self.faults
                   if since - GRACE_S <= ended and until + GRACE_S >= began)


# ---- what clients do --------------------------------------------------------------------------------------


def expect(condition, sentence):
    if not condition:
        raise Wrong(sentence)


def served(world, client, answer, body=None, hop=None):
    """An answer of the CAS with the expected body, or an error of ours, which the verdict weighs."""
    world.own(answer, client.number)
    if answer.status >= 500:
        raise Cut(f"status {answer.status}")
    expect(answer.status == 200, f"status {answer.status}")
    expect(body is None or answer.body == body, f"a body of {len(answer.body)} bytes is not the expected one")
    expect(hop is None or answer.headers.get("x-sim-port") == hop, f"not over {hop}")


def browse(world, rng, client):
    for _ in range(rng.randint(1, 12)):
        size = rng.choice([0, 1, 300, 5000, rng.randint(0, 70000)])
        chunked = " chunked=1" if rng.random() < 0.4 else ""
        answer = client.ask("GET", rng.choice(["/owa/", "/ecp/x.aspx"]), [f"X-Sim: status=200 size={size}{chunked}"])
        served(world, client, answer, pattern(size), "plain")


def ews(world, rng, client):
    for _ in range(rng.randint(1, 6)):
        body = rng.randbytes(rng.randint(1, 30000))
        fields = ["X-Sim: echo=1", "Content-Type: text/xml"]
        served(world, client, client.ask("POST", "/EWS/Exchange.asmx", fields, body, rng.random() < 0.3), body, "plain")


def mapi(world, rng, client):
    for _ in range(rng.randint(1, 8)):
        body = rng.randbytes(rng.randint(1, 4000))
        fields = ["X-Sim: echo=1", "X-RequestType: Execute", "Content-Type: application/mapi-http"]
        served(world, client, client.ask("POST", "/mapi/emsmdb/?MailboxId=5b1e@contoso.test", fields, body), body)


def move(world, rng, client):
    body = rng.randbytes(rng.randint(1, 20000))
    for _ in range(rng.randint(1, 3)):
        served(world, client, client.ask("POST", "/EWS/mrsproxy.svc", ["X-Sim: echo=1"], body), body, "tls")


def upload(world, rng, client):
    body = rng.randbytes(rng.randint(100_000, 3_000_000))
    answer = client.ask("POST", "/Microsoft-Server-ActiveSync?Cmd=SendMail", ["X-Sim: checksum=1"], body,
                        rng.random() < 0.3)
    served(world, client, answer, None, "plain")
    expect(hashlib.sha256(body).hexdigest() in answer.body.decode("latin-1").lower(), "the CAS has got other bytes")


def download(world, rng, client):
    size = rng.randint(200_000, 4_000_000)
    answer = client.ask("GET", "/OAB/7c1d/data.lzx", [f"X-Sim: status=200 size={size} chunked={rng.randint(0, 1)}"])
    served(world, client, answer, pattern(size), "plain")


def ping(world, rng, client):
    for _ in range(rng.randint(1, 2)):
        fields = [f"X-Sim: status=200 size=40 delay={rng.randint(500, 4000)}"]
        answer = client.ask("POST", "/Microsoft-Server-ActiveSync?Cmd=Ping", fields, b"<Ping/>")
        served(world, client, answer, pattern(40), "plain")


def ntlm_token(kind, user=""):
    name = user.encode("utf-16-le")
    if kind == 1:
        return base64.b64encode(b"NTLMSSP\0" + struct.pack("<II", 1, 0x207) + bytes(16)).decode()
    fields = b"".join(struct.pack("<HHI", n, n, 64) for n in (0, 0, 0, len(name), 0, 0))
    return base64.b64encode(b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", 1) + name).decode()


def authenticate(world, rng, client):
    user = f"user{rng.randint(0, 10**9)}"
    sim = "X-Sim: auth=ntlm status=200 size=1"
    answer = client.ask("POST", "/EWS/Exchange.asmx", [sim, f"Authorization: NTLM {ntlm_token(1)}"])
    world.own(answer, client.number)
    if answer.status >= 500:
        raise Cut(f"status {answer.status}")
    expect(answer.status == 401 and "NTLM " in answer.headers.get("www-authenticate", ""), "no challenge")
    answer = client.ask("POST", "/EWS/Exchange.asmx", [sim, f"Authorization: NTLM {ntlm_token(3, user)}"])
    for _ in range(rng.randint(1, 6)):
        served(world, client, answer)
        expect(answer.headers.get("x-sim-user", "").endswith(user), f"{user} is {answer.headers.get('x-sim-user')}")
        answer = client.ask("POST", "/EWS/Exchange.asmx", [sim])
    served(world, client, answer)


def nobody(world, rng, client):
    answer = client.ask("GET", "/EWS/Exchange.asmx", ["X-Sim: auth=ntlm status=200 size=1"])
    world.own(answer, client.number)
    if answer.status >= 500:
        raise Cut(f"status {answer.status}")
    expect(answer.status == 401, "somebody else's identity was inherited")


RTS = b"\x05\x00\x14\x03\x10\x00\x00\x00"
VERSION = b"\x06\x00\x00\x00\x01\x00\x00\x00"


def tunnel(world, rng, out):
    """A pair of channels; pings go in on one and come out on the other. Channels may end at any time."""
    cookie = b"\x03\x00\x00\x00" + rng.randbytes(16)
    a1 = RTS + b"\x4c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00" + VERSION + cookie + b"\x03\x00\x00\x00" + \
        rng.randbytes(16) + b"\x00\x00\x00\x00\x00\x00\x01\x00"
    b1 = RTS + b"\x68\x00\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00" + VERSION + cookie + b"\x03\x00\x00\x00" + \
        rng.randbytes(16) + b"\x04\x00\x00\x00\x00\x00\x00\x40\x05\x00\x00\x00\xc0\xd4\x01\x00\x0c\x00\x00\x00" + \
        rng.randbytes(16)
    echo = RTS + b"\x14\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"
    began, name = time.monotonic(), world.name()
    inward = Client(world)
    target = f"/rpc/rpcproxy.dll?cas@contoso.test:6001&soak={name}"
    fields = ["Accept: application/rpc", "User-Agent: MSRPC"]
    try:
        out.send_request("RPC_OUT_DATA", target, fields + ["Content-Length: 76"], b"", False)
        out.send(a1)
        inward.send_request("RPC_IN_DATA", target.replace("soak", "in"), fields + ["Content-Length: 1073741824"], b"",
                            False)
        inward.send(b1)
        status, headers = out.head()
        if status >= 500:
            raise Cut(f"status {status}")
        expect(status == 200 and "content-length" in headers, f"RPC_OUT_DATA: {status}")
        out.take(72)
        for _ in range(rng.randint(1, 10)):
            inward.send(echo)
            expect(out.take(20) == echo, "a ping came back changed")
            time.sleep(rng.uniform(0, 0.2))
        world.left["channels closed by the client"] += 1
    except Cut as cut:
        world.note(name, began, None, f"channel {cut}")
        raise
    finally:
        inward.close()


def leave(world, rng, client):
    """Goes in the middle of something."""
    path, fields, body = rng.choice([
        ("/Microsoft-Server-ActiveSync?Cmd=Ping", ["X-Sim: stall=1"], b"x"),
        ("/EWS/Exchange.asmx", ["X-Sim: checksum=1"], None),
        ("/owa/", ["X-Sim: status=200 size=3000000"], b""),
        ("/mapi/emsmdb/", ["X-Sim: status=200 size=100 delay=3000"], b"x")])
    if body is None:
        client.send_request("POST", path, fields + ["Content-Length: 500000"], b"", False)
        client.send(bytes(100_000))
    else:
        client.send_request("POST", path, fields, body)
    time.sleep(rng.uniform(0, 0.3))
    world.left["left by the client"] += 1
    if rng.random() < 0.5:
        client.reset()


def redirect(world, rng, client):
    plain = Client(world, tls=False)
    try:
        answer = plain.ask("GET", "/owa/")
        expect(answer.status == 302 and answer.headers["location"].startswith(f"https://{HOST}/owa/"), "no redirect")
    finally:
        plain.close()


STORIES = [(browse, 6), (ews, 4), (mapi, 4), (move, 2), (upload, 1), (download, 1), (ping, 3), (authenticate, 4),
           (nobody, 1), (tunnel, 3), (leave, 3), (redirect, 1)]


def run_client(world, seed):
    rng = random.Random(seed)
    stories = [story for story, weight in STORIES for _ in range(weight)]
    while not world.ending:
        story, client = rng.choice(stories), None
        began = time.monotonic()
        try:
            client = Client(world)
            story(world, rng, client)
            while rng.random() < 0.4 and story not in (tunnel, leave):
                story(world, rng, client)
        except Cut as cut:
            if not world.in_fault(began, time.monotonic()):
                # a fault that has only just begun is noted a moment later
                time.sleep(0.3)
                if not world.in_fault(began, time.monotonic()):
                    world.accuse(f"{story.__name__}: {cut}, and no fault was under way")
        except Wrong as wrong:
            world.accuse(f"{story.__name__}: {wrong}")
        finally:
            if client:
                client.close()


# ---- chaos ------------------------------------------------------------------------------------------------


def run_chaos(world, seed):
    rng = random.Random(seed)
    variant = 0
    while not world.ending:
        time.sleep(rng.uniform(1.0, 4.0))
        server = rng.choice(world.servers)[0]
        what = rng.choice(["kill", "plain", "tls", "health", "reload", "reload", "bad reload", "drain", "maintenance"])
        since = time.monotonic()
        fault = [since, since + 3600]
        if what in ("kill", "plain", "tls", "health", "maintenance"):
            world.faults.append(fault)
        if what == "kill":
            world.command(f"{server} kill")
        elif what in ("plain", "tls"):
            world.command(f"{server} listen {what} off")
            time.sleep(rng.uniform(0.2, 2.0))
            world.command(f"{server} listen {what} on")
        elif what == "health":
            world.command(f"{server} health all {rng.choice(['503', 'reset', 'no-text'])}")
            time.sleep(rng.uniform(1.0, 6.0))
            world.command(f"{server} health all up")
        elif what == "reload":
            variant += 1
            world.configure(variant)
            world.casgate.send_signal(signal.SIGHUP)
        elif what == "bad reload":
            with open(f"{world.directory}/casgate.yaml", "a", encoding="ascii") as file:
                file.write("tiemouts: {}\n")
            world.casgate.send_signal(signal.SIGHUP)
        elif world.order(server, what):
            time.sleep(rng.uniform(0.5, 3.0))
            world.order(server, "ready")
        else:
            continue
        fault[1] = time.monotonic()
        world.orders[what] += 1


# ---- watch ------------------------------------------------------------------------------------------------


def figures(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        memory = int(re.search(r"VmRSS:\s*(\d+)", status.read())[1])
    return memory, len(os.listdir(f"/proc/{pid}/fd"))


def slope(samples):
    """Growth over the whole of it, by linear regression."""
    if len(samples) < 3:
        return 0.0
    return statistics.linear_regression(range(len(samples)), samples).slope * len(samples)


def is_flat(samples, allowed):
    return slope(samples) <= allowed


# ---- verdict ------------------------------------------------------------------------------------------------


def read_access(world):
    lines = {}
    with open(f"{world.directory}/access.log", encoding="latin-1") as log:
        for line in log:
            match = re.search(r"[?&]soak=(r\d+)", line)
            if match:
                status = re.search(r" status=(\d+|-)", line)
                lines.setdefault(match[1], []).append(status[1] if status else "?")
    return lines


def weigh_outcomes(world):
    """Every request's end, by cause; complaints go to world.wrong."""
    causes = collections.Counter()
    lines = read_access(world)
    for name, (began, ended, status, cause) in world.outcomes.items():
        if status is not None and status < 500:
            causes[f"answered {status}"] += 1
        else:
            causes[f"answered {status}" if status else f"during a fault: {cause}"] += 1
            if not world.in_fault(began, ended):
                world.accuse(f"{name}: {status or cause}, and no fault was under way")
        seen = lines.get(name, [])
        if status is not None and seen != [str(status)]:
            world.accuse(f"{name} was answered {status}; the access log says {seen or 'nothing'}")
        if len(seen) > 1:
            world.accuse(f"{name} has {len(seen)} access lines")
    return causes


def stop(world, samples):
    """Lets go of everything; returns descriptors left, and casgate's exit code."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        memory, descriptors = figures(world.casgate.pid)
        if descriptors <= world.descriptors_before + 2:
            break
        time.sleep(0.2)
    samples.append((memory, descriptors))
    world.casgate.send_signal(signal.SIGTERM)
    try:
        code = world.casgate.wait(40)
    except subprocess.TimeoutExpired:
        code = "none after 40 s"
        world.casgate.kill()
    world.farm.terminate()
    world.farm.wait(10)
    return descriptors, code


def report(world, causes, samples, left, code, minutes):
    warm = samples[len(samples) // 4:-1]
    memory, descriptors = [s[0] for s in warm], [s[1] for s in warm]
    allowed = max(6144, 0.1 * statistics.mean(memory))
    if not is_flat(memory, allowed):
        world.accuse(f"memory grew by {slope(memory):.0f} KiB after the warm-up")
    if not is_flat(descriptors, max(40, 0.3 * statistics.mean(descriptors))):
        world.accuse(f"descriptors grew by {slope(descriptors):.0f} after the warm-up")
    if left > world.descriptors_before + 2:
        world.accuse(f"{left} descriptors at the end, {world.descriptors_before} at the beginning")
    if code != 0:
        world.accuse(f"casgate's exit code is {code}")
    known = sum(causes.values())
    print(f"  {known} requests in {minutes:g} min with {world.options.clients} clients; seed {world.options.seed}")
    for cause, count in causes.most_common():
        print(f"    {count:8} {cause}")
    for cause, count in (world.left + collections.Counter({f"chaos: {k}": v for k, v in world.orders.items()})).items():
        print(f"    {count:8} {cause}")
    print(f"  memory      {memory[0]:8} KiB after warm-up, {memory[-1]:8} KiB at the end, {max(memory):8} most, "
          f"trend {slope(memory):+.0f} KiB")
    print(f"  descriptors {world.descriptors_before:8} at the start, {left:8} when all had gone, "
          f"{max(descriptors):8} most, trend {slope(descriptors):+.0f}")


def main():
    parser = argparse.ArgumentParser(description="all protocols, faults and orders at once, and a verdict")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("--casgate", default=f"{root}/build/src/casgate")
    parser.add_argument("--cas-sim", default=f"{root}/build/bench/cas-sim/cas-sim")
    parser.add_argument("--certs", default=f"{root}/certs/lab")
    options = parser.parse_args()
    world = World(options)
    world.begin()
    world.descriptors_before = figures(world.casgate.pid)[1]
    rng = random.Random(options.seed)
    threads = [threading.Thread(target=run_client, args=(world, rng.random()), daemon=True)
               for _ in range(options.clients)]
    threads.append(threading.Thread(target=run_chaos, args=(world, rng.random()), daemon=True))
    for thread in threads:
        thread.start()
    samples = []
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end and world.casgate.poll() is None:
        samples.append(figures(world.casgate.pid))
        time.sleep(1)
    world.ending = True
    for thread in threads:
        thread.join(PATIENCE_S + 20)
        if thread.is_alive():
            world.accuse("a client waits for ever")
    if world.casgate.poll() is None:
        left, code = stop(world, samples)
    else:
        left, code = 0, world.casgate.returncode
        world.farm.terminate()
    causes = weigh_outcomes(world)
    report(world, causes, samples, left, code, options.minutes)
    for sentence in world.wrong[:20]:
        print(f"  WRONG {sentence}")
    if world.wrong:
        print(f"soak: FAILED, {len(world.wrong)} complaints; logs in {world.directory}")
        return 1
    shutil.rmtree(world.directory)
    print("soak: passed: every request is accounted for; memory and descriptors are flat")
    return 0


if __name__ == "__main__":
    sys.exit(main())
