"""
world: what the suites written in Python share: child processes that end with the suite, the simulated farm,
and casgate in front of servers. The C suites have lab.h and process.h for the same.

    with World() as world:
        sim = Sim(world, servers=2)
        casgate = Casgate(world, sim.servers)      # .port, .reload()

Programs and certificates are found as in the C suites: CASGATE, CAS_SIM, CASGATE_CERTS, CASGATE_TEST_TMP, else
where a plain build has them. Every wait has a deadline; every child is ended by its process id, and dies with
this process however that ends.
"""
import ctypes
import itertools
import os
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASGATE = os.environ.get('CASGATE') or str(ROOT / 'build/src/casgate')
CAS_SIM = os.environ.get('CAS_SIM') or str(ROOT / 'build/bench/cas-sim/cas-sim')
CERTS = pathlib.Path(os.environ.get('CASGATE_CERTS') or ROOT / 'certs/lab')
HOST = 'mail.contoso.test'
SOON = 20.0  # seconds that anything may take which should happen at once

_prctl = ctypes.CDLL(None).prctl
PR_SET_PDEATHSIG = 1


class World:
    """A directory and the children that live in it; both are gone afterwards."""

    def __init__(self):
        base = os.environ.get('CASGATE_TEST_TMP') or None
        if base:
            os.makedirs(base, exist_ok=True)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='world-', dir=base))
        self.directory.chmod(0o755)
        self.children = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for child in reversed(self.children):
            child.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path


class Child:
    """A process whose output goes to files of the world."""

    def __init__(self, world, name, argv, env=None, pass_fds=()):
        self.name = name
        self.log = world.directory / f'{name}.log'
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(env or {})}, pass_fds=pass_fds,
                preexec_fn=lambda: _prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        world.children.append(self)

    def said(self):
        """The end of its output."""
        return self.log.read_text(errors='replace')[-4000:]

    def send_signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """SIGTERM, at last SIGKILL. The exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(SOON)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -signal.SIGKILL


def start_ready(world, name, argv):
    """Starts a program that takes --ready-fd. The child and its lines up to `ready`."""
    reading, writing = os.pipe()
    child = Child(world, name, [*argv, '--ready-fd', str(writing)], pass_fds=(writing,))
    os.close(writing)
    text, deadline = b'', time.monotonic() + SOON
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while b'ready\n' not in text:
            if not selector.select(max(0, deadline - time.monotonic())):
                raise RuntimeError(f'{name} is not ready; it said:\n{child.said()}')
            piece = os.read(reading, 4096)
            if not piece:
                raise RuntimeError(f'{name} has ended; it said:\n{child.said()}')
            text += piece
    os.close(reading)
    return child, text.decode().splitlines()


def free_port():
    """A port of loopback that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def wait_for_port(child, port):
    """Until a program without a ready pipe listens."""
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            break
        try:
            socket.create_connection(('127.0.0.1', port), SOON).close()
            return
        except ConnectionRefusedError:
            selectors.DefaultSelector().select(0.02)
    raise RuntimeError(f'{child.name} does not listen; it said:\n{child.said()}')


def certificate(name='server'):
    return CERTS / f'{name}.pem', CERTS / f'{name}.key'


class Sim:
    """cas-sim. servers: (name, plain port, TLS port) each."""

    def __init__(self, world, servers=2):
        chain, key = certificate()
        self.child, lines = start_ready(world, 'cas-sim', [CAS_SIM, '--servers', str(servers),
            '--cert', str(chain), '--key', str(key), '--no-events'])
        self.servers, control = [], None
        for line in lines:
            words = line.split()
            if 'plain' in words:
                self.servers.append((words[0], int(words[2].rsplit(':', 1)[1]),
                    int(words[4].rsplit(':', 1)[1])))
            elif words[0] == 'control':
                control = int(words[1].rsplit(':', 1)[1])
        self.control = socket.create_connection(('127.0.0.1', control), SOON).makefile('rw')

    def command(self, text):
        self.control.write(text + '\n')
        self.control.flush()
        answer = self.control.readline()
        if not answer.startswith('ok'):
            raise RuntimeError(f'cas-sim: {text}: {answer}')

    def kill_connections(self):
        for name, _, _ in self.servers:
            self.command(f'{name} kill')


class Casgate:
    """casgate before (name, plain port, TLS port) servers."""

    name = 'casgate'
    numbers = itertools.count(1)

    def __init__(self, world, servers):
        self.world, self.servers, self.turn = world, servers, 0
        self.place = f'casgate-{next(self.numbers)}'
        self.config = world.directory / f'{self.place}.yaml'
        usage = subprocess.run([CASGATE, '--help'], capture_output=True, text=True)
        self.has_orders = 'drain SERVER' in usage.stdout + usage.stderr
        self.child, lines = start_ready(world, self.place,
            [CASGATE, 'run', '-c', self.configure()])
        self.port = next(int(line.rsplit(':', 1)[1]) for line in lines if line.startswith('tls '))

    def configure(self):
        chain, key = certificate()
        policy = ('least-connections', 'round-robin')[self.turn % 2]
        lines = [f'    - {{name: {name}, address: 127.0.0.1, http-port: {plain}, https-port: {tls}}}\n'
            for name, plain, tls in self.servers]
        admin = f'admin: unix:{self.world.directory}/{self.place}.sock\n' if self.has_orders else ''
        return str(self.world.write(self.config.name, f'listen: 127.0.0.1:0\nworkers: 2\n{admin}'
            f'certificate: {{chain: {chain}, key: {key}}}\n'
            f'farm:\n  preset: exchange-2013\n  balance: {policy}\n'
            '  bridge: {verify: same-certificate}\n  health: {enabled: false}\n  servers:\n' + ''.join(lines)))

    def reload(self):
        """A configuration that differs from the last one."""
        self.turn += 1
        self.configure()
        self.child.send_signal(signal.SIGHUP)

    def order(self, order, server):
        """drain, maintenance or ready."""
        done = subprocess.run([CASGATE, order, server, '-c', str(self.config)],
            capture_output=True, text=True, timeout=SOON)
        if done.returncode:
            raise RuntimeError(f'{order} {server}: {done.stdout}{done.stderr}')

    def version(self):
        text = subprocess.run([CASGATE, '--version'], capture_output=True, text=True).stdout
        return text.split()[-1] if text else ''

    def finish(self):
        """Ends it. What is wrong with how it ended: sentences."""
        code = self.child.end()
        said = self.child.log.read_text(errors='replace')
        reports = ('AddressSanitizer', 'runtime error:', 'ThreadSanitizer', 'LeakSanitizer')
        return [report for report in reports if report in said] + ([f'exit code {code}'] if code else [])
