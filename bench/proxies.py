"""proxies: starts the simulated farm, casgate and its peers, and reads what they cost from /proc.

    Lab       where everything is, and which cores are whose
    Farm      cas-sim, two servers, on the client's core
    Proxy     one of casgate, haproxy, nginx, hitch on the proxy's core, from a template in peers/
    Direct    stands for "no proxy": the TLS port of the first server
    Load      one run of casgate-load, step by step

Processor time is that of a process and all its descendants, threads included, in nanoseconds from
/proc/PID/task/TID/schedstat, or from /proc/PID/stat where the kernel keeps no schedstat. What is started
here is ended here, by process id.
"""
import ctypes
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

BENCH = os.path.dirname(os.path.realpath(__file__))
CERTS = os.path.join(os.path.dirname(BENCH), 'certs', 'lab')
PATIENCE_S = 60     # for one step of a load, which takes a second or two
TICK_NS = 1_000_000_000 // os.sysconf('SC_CLK_TCK')


class Trouble(Exception):
    """The measurement cannot go on; the text says why."""


def read(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return file.read()


class Lab:
    """Where everything is, and which cores are whose."""

    def __init__(self, build):
        self.build = os.path.realpath(build)
        self.directory = os.path.join(self.build, 'bench', 'run')
        cores = sorted(os.sched_getaffinity(0))
        self.cores = cores
        self.proxy_cores, self.client_cores = {cores[0]}, {cores[min(1, len(cores) - 1)]}
        self.farm = None
        os.makedirs(self.directory, exist_ok=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def become(cores):
    """In the child: on these cores, and ended when compare ends, however that happens."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    os.sched_setaffinity(0, cores)


class Process:
    """A program on some cores, with its output in a file of the run's directory."""

    def __init__(self, name, command, cores, directory, **popen):
        self.name = name
        self.log = os.path.join(directory, f'{name}.log')
        with open(self.log, 'wb') as log:
            self.popen = subprocess.Popen(command, stdout=popen.pop('stdout', log), stderr=log,
                                          preexec_fn=lambda: become(cores), **popen)

    def pids(self):
        children = {}
        for path in glob.glob('/proc/[0-9]*/stat'):
            try:
                fields = read(path).rpartition(')')[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(path.split('/')[2]))
        found, fresh = [], [self.popen.pid]
        while fresh:
            found += fresh
            fresh = [child for pid in fresh for child in children.get(pid, [])]
        return found

    def threads(self):
        return [int(tid) for pid in self.pids() for tid in os.listdir(f'/proc/{pid}/task')]

    def cpu_ns(self):
        total = 0
        for pid in self.pids():
            for task in glob.glob(f'/proc/{pid}/task/*'):
                try:
                    total += int(read(f'{task}/schedstat').split()[0])
                except (OSError, IndexError):
                    fields = read(f'{task}/stat').rpartition(')')[2].split()
                    total += (int(fields[11]) + int(fields[12])) * TICK_NS
        return total

    def pss(self):
        return sum(int(re.search(r'^Pss:\s+(\d+)', read(f'/proc/{pid}/smaps_rollup'), re.M)[1]) * 1024
                   for pid in self.pids())

    def wait_quiet(self):
        """Until what is on its way has arrived: no processor time for a tenth of a second."""
        before = self.cpu_ns()
        for _ in range(100):
            time.sleep(0.1)
            now = self.cpu_ns()
            if now - before < 500_000:
                return
            before = now
        raise Trouble(f'{self.name} does not come to rest')

    def complain(self, what):
        self.stop()
        raise Trouble(f'{self.name} {what}: {read(self.log)[-600:].strip() or "it said nothing"}')

    def wait_listening(self, port):
        for _ in range(200):
            if self.popen.poll() is not None:
                break
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.complain('does not listen')

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                for pid in reversed(self.pids()):
                    os.kill(pid, signal.SIGKILL)
                self.popen.wait()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.stop()


class Farm(Process):
    def __init__(self, lab):
        super().__init__('cas-sim', [f'{lab.build}/bench/cas-sim/cas-sim', '--servers', '2', '--no-events',
                                     '--cert', f'{CERTS}/server.pem', '--key', f'{CERTS}/server.key'],
                         lab.client_cores, lab.directory, stdout=subprocess.PIPE, text=True)
        self.ports = {}
        for line in iter(self.popen.stdout.readline, 'ready\n'):
            if not line:
                self.complain('did not start')
            for kind, port in re.findall(r'(plain|tls) 127\.0\.0\.1:(\d+)', line):
                self.ports[f'{kind}{line[3]}'] = int(port)


class Proxy(Process):
    TEMPLATES = {'casgate': 'casgate.yaml', 'haproxy': 'haproxy.cfg', 'nginx': 'nginx.conf', 'hitch': 'hitch.conf'}

    def __init__(self, lab, kind, certificate='server', workers=1, cores=None, label=None, sandbox='true'):
        self.port = free_port()
        label = label or kind
        directory = os.path.join(lab.directory, label)
        os.makedirs(directory, exist_ok=True)
        combined = os.path.join(directory, 'combined.pem')
        with open(os.open(combined, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='ascii') as file:
            file.write(read(f'{CERTS}/{certificate}.key') + read(f'{CERTS}/{certificate}.pem'))
        values = dict(lab.farm.ports, port=self.port, certs=CERTS, certificate=certificate, combined=combined,
                      directory=directory, workers=workers, sandbox=sandbox, user='_hitch' if kind == 'hitch' else '')
        template = self.TEMPLATES[kind]
        config = os.path.join(directory, template)
        with open(config, 'w', encoding='utf-8') as file:
            file.write(re.sub(r'\{\{(\w+)\}\}', lambda match: str(values[match[1]]),
                              read(f'{BENCH}/peers/{template}.in')))
        commands = {'casgate': [f'{lab.build}/src/casgate', 'run', '-c', config],
                    'haproxy': ['haproxy', '-db', '-f', config],
                    'nginx': ['nginx', '-p', directory, '-c', config],
                    'hitch': ['hitch', f'--config={config}']}
        super().__init__(label, commands[kind], cores or lab.proxy_cores, lab.directory)
        self.wait_listening(self.port)

    def spread(self, cores):
        """Busy threads one to a core, so that one process with two workers has what two processes have."""
        for tid, core in zip(sorted(self.threads(), reverse=True), cores):
            os.sched_setaffinity(tid, {core})


class Direct:
    """What the farm itself answers, without a proxy: the zero of added latency."""

    name = 'direct'

    def __init__(self, lab):
        self.port = lab.farm.ports['tls1']

    def cpu_ns(self):
        return 0

    def stop(self):
        pass


class Load:
    """One run: connections are open after the constructor, units are done by run()."""

    def __init__(self, lab, work, proxies, *arguments):
        to = ','.join(f'127.0.0.1:{proxy.port}' for proxy in proxies)
        self.proxies = proxies
        self.process = Process('load', [f'{lab.build}/bench/load/casgate-load', work, '--to', to, '--steps',
                                        *map(str, arguments)], lab.client_cores, lab.directory,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.line() != 'ready\n':
            self.process.complain(f'of {work} by {proxies[0].name} failed')

    def line(self):
        if not select.select([self.process.popen.stdout], [], [], PATIENCE_S)[0]:
            self.process.complain(f'waits for {self.proxies[0].name} for {PATIENCE_S} s')
        return self.process.popen.stdout.readline()

    def run(self):
        """The result line; cpu_ns in it is what the proxies spent on the units."""
        before = sum(proxy.cpu_ns() for proxy in self.proxies)
        self.process.popen.stdin.write('\n')
        self.process.popen.stdin.flush()
        line = self.line()
        cpu_ns = sum(proxy.cpu_ns() for proxy in self.proxies) - before
        if not line:
            self.process.complain('failed')
        return dict(json.loads(line), cpu_ns=cpu_ns)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.process.popen.stdin.close()
        self.process.popen.stdout.close()
        try:
            self.process.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.process.stop()


def version(kind, build):
    command = {'casgate': [f'{build}/src/casgate', '--version'], 'haproxy': ['haproxy', '-v'],
               'nginx': ['nginx', '-v'], 'hitch': ['hitch', '--version']}[kind]
    if kind != 'casgate' and not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]
