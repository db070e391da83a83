#!/usr/bin/python3
"""
real: connection-bound authentication between real ends. Only casgate is ours:

    curl --negotiate (MIT Kerberos) ─┐                                     krb5-kdc
    requests-ntlm ───────────────────┼─ TLS ─> casgate ─ plain ─> Apache, mod_auth_gssapi, gss-ntlmssp
    curl --ntlm ─────────────────────┴─ TLS ─> casgate ─ plain ─> cas-sim

(gss-ntlmssp refuses the short first message of curl's NTLM, the simulated CAS takes it.) Each case asks singly,
on a kept connection, with a body, and a hundred at a time with two users mixed: always the right user, and never
anybody for a client without credentials.

usage: real.py [TEXT]      cases whose name contains it; the last line is "N passed, N failed"
"""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'support'))
sys.dont_write_bytecode = True

from apache import Apache
from realm import USERS, Realm
from world import CERTS, HOST, Casgate, Sim, World

PATH = '/EWS/Exchange.asmx'
CA = str(CERTS / 'ca.pem')
PARALLEL = 100
TIMEOUT = 120


class Lab:
    def __init__(self, world):
        self.world = world
        self.realm = Realm(world)
        self.apache = Apache(world, self.realm)
        self.casgate = Casgate(world, self.apache.servers)
        self.environments = {user: self.realm.ticket(user) for user in USERS}
        self.body = world.write('body', 'x' * 300000)

    def start_curl(self, port, arguments, times=1, user=None, who='%header{x-user}'):
        """One curl, `times` requests on its connection; a line "status who new-connections" each."""
        argv = ['curl', '--silent', '--http1.1', '--cacert', CA, '--max-time', '60',
            '--resolve', f'{HOST}:{port}:127.0.0.1', '--write-out', f'%{{http_code}} {who} %{{num_connects}}\n',
            *arguments]
        for _ in range(times):
            argv += [f'https://{HOST}:{port}{PATH}', '--output', '/dev/null']
        environment = self.environments[user] if user else self.realm.environment
        return subprocess.Popen(argv, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)

    def kerberos(self, user, *arguments, times=1):
        process = self.start_curl(self.casgate.port, ['--negotiate', '--user', ':', *arguments], times, user)
        return read_lines(process)

    def ntlm(self, *users, requests=1, size=0):
        """requests-ntlm; each answer as a dictionary."""
        script = pathlib.Path(__file__).with_name('ntlm_client.py')
        run = subprocess.run(['/usr/bin/python3', script, str(self.casgate.port), CA, *users, '--requests',
            str(requests), '--bytes', str(size)], capture_output=True, text=True, timeout=TIMEOUT,
            env={**os.environ, **self.realm.environment,
                'PYTHONPATH': str(pathlib.Path(__file__).resolve().parents[1] / 'support'),
                'PYTHONDONTWRITEBYTECODE': '1'})
        expect(run.returncode == 0, run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def sim_curl(self, port, user, *arguments, times=1):
        return self.start_curl(port, ['--ntlm', '--user', f'{user}:secret', '--header',
            'X-Sim: auth=ntlm status=200 size=10', *arguments], times, who='%header{x-sim-user}')


def read_lines(process):
    text, _ = process.communicate(timeout=TIMEOUT)
    return [line.split(' ') for line in text.splitlines()]


def expect(truth, what):
    if not truth:
        raise AssertionError(what)


def is_user(seen, user):
    """user:alice@CONTOSO.TEST, user:CONTOSO\\alice, alice"""
    return seen.lower().split('@')[0].replace('\\', ':').split(':')[-1] == user


def expect_answers(lines, user, count):
    """count answers of 200 to the user; the connection was opened for the first one."""
    expect(len(lines) == count, f'{len(lines)} answers instead of {count}: {lines}')
    for n, (status, seen, connects) in enumerate(lines):
        expect(status == '200' and is_user(seen, user), f'{user}, request {n}: {status} as {seen!r}')
        expect(connects == ('0' if n else '1'), f'{user}, request {n}: {connects} new connections')


def expect_ntlm(answers, count):
    expect(len(answers) == count, f'{len(answers)} answers instead of {count}')
    for answer in answers:
        expect(answer['status'] == 200 and is_user(answer['seen'], answer['user']), str(answer))


def expect_parallel(processes, count):
    """processes: (user, process); user None: without credentials, nobody."""
    for user, process in processes:
        lines = read_lines(process)
        if user:
            expect_answers(lines, user, count)
        for status, seen, _ in lines if not user else []:
            expect(status in ('200', '401') and seen in ('user:', ''), f'nobody: {status} as {seen!r}')


def users_in_turn(count):
    return [USERS[n % 2] for n in range(count)]


# --- the cases: each is given the lab; its docstring is its name ----------------------------------

def kerberos_single(lab):
    """a ticket sent with the first request"""
    for user in USERS:
        expect_answers(lab.kerberos(user), user, 1)


def kerberos_challenged(lab):
    """a ticket sent after a 401, on the same connection"""
    for user in USERS:
        expect_answers(lab.kerberos(user, '--anyauth'), user, 1)


def kerberos_kept(lab):
    """five requests on one connection, with and without a ticket in the first"""
    expect_answers(lab.kerberos('alice', times=5), 'alice', 5)
    expect_answers(lab.kerberos('bobby', '--anyauth', times=5), 'bobby', 5)


def kerberos_body(lab):
    """POST with a body, with Expect and without, with and without a 401 before it"""
    body = ['--data-binary', f'@{lab.body}']
    for more in ([], ['--header', 'Expect:'], ['--anyauth'], ['--anyauth', '--header', 'Expect:']):
        lines = lab.kerberos('alice', *body, *more, times=2)
        expect(len(lines) == 2, f'{more}: {lines}')
        for status, seen, _ in lines:
            expect(status == '200' and is_user(seen, 'alice'), f'{more}: {status} as {seen!r}')


def kerberos_nobody(lab):
    """a client without a ticket is nobody, also after all these"""
    for arguments in ([], ['--negotiate', '--user', ':']):
        lines = read_lines(lab.start_curl(lab.casgate.port, arguments, 2))
        expect([line[0] for line in lines] == ['401', '401'], str(lines))


def kerberos_parallel(lab):
    """a hundred clients at a time: two users and nobody, three requests each"""
    processes = []
    for n in range(PARALLEL):
        user = (*USERS, None)[n % 3]
        arguments = ['--negotiate', '--user', ':'] if user else []
        processes.append((user, lab.start_curl(lab.casgate.port, arguments, 3, user)))
    expect_parallel(processes, 3)


def ntlm_single(lab):
    """requests-ntlm, one request"""
    for user in USERS:
        expect_ntlm(lab.ntlm(user), 1)


def ntlm_kept(lab):
    """requests-ntlm, five requests; all legs and all requests over one connection to the CAS"""
    answers = lab.ntlm('alice', requests=5)
    expect_ntlm(answers, 5)
    expect(len({answer['connection'] for answer in answers}) == 1, str(answers))


def ntlm_body(lab):
    """requests-ntlm, POST with a body"""
    expect_ntlm(lab.ntlm('bobby', requests=3, size=300000), 3)


def ntlm_wrong_password(lab):
    """requests-ntlm with a wrong password is nobody"""
    for answer in lab.ntlm('alice:wrong', 'bobby:wrong'):
        expect(answer['status'] == 401 and is_user(answer['seen'], ''), str(answer))


def ntlm_parallel(lab):
    """requests-ntlm, a hundred clients of two users at a time, two requests each"""
    expect_ntlm(lab.ntlm(*users_in_turn(PARALLEL), requests=2), 2 * PARALLEL)


def curl_ntlm(lab):
    """curl --ntlm before cas-sim: single, kept, with a body, and a hundred at a time"""
    casgate = Casgate(lab.world, Sim(lab.world).servers)
    for user in USERS:
        expect_answers(read_lines(lab.sim_curl(casgate.port, user)), user, 1)
    expect_answers(read_lines(lab.sim_curl(casgate.port, 'alice', times=5)), 'alice', 5)
    for more in ([], ['--header', 'Expect:']):
        body = ['--data-binary', f'@{lab.body}', *more]
        expect_answers(read_lines(lab.sim_curl(casgate.port, 'bobby', *body, times=2)), 'bobby', 2)
    processes = [(user, lab.sim_curl(casgate.port, user, times=3)) for user in users_in_turn(PARALLEL)]
    expect_parallel(processes, 3)
    expect(not casgate.finish(), f'casgate ended badly:\n{casgate.child.said()}')


CASES = [kerberos_single, kerberos_challenged, kerberos_kept, kerberos_body, kerberos_nobody,
    kerberos_parallel, ntlm_single, ntlm_kept, ntlm_body, ntlm_wrong_password, ntlm_parallel, curl_ntlm]


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    passed = failed = 0
    with World() as world:
        lab = Lab(world)
        for case in CASES:
            if wanted not in case.__name__:
                continue
            try:
                case(lab)
                passed += 1
            except (AssertionError, subprocess.TimeoutExpired) as fault:
                failed += 1
                print(f'FAILED {case.__name__} ({case.__doc__}): {fault}')
        wrong = lab.casgate.finish()
        if wrong:
            failed += 1
            print(f'FAILED casgate ended badly: {wrong}\n{lab.casgate.child.said()}')
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
