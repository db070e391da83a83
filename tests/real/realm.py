"""
realm: a Kerberos realm of the tests' own (Debian's krb5-kdc on a free port of loopback, its files in the world's
directory), and what clients and servers of it need in their environment.

NTLM wants MD4, which OpenSSL 3 keeps in its legacy provider: clients and the Apache get a configuration that
loads it. Names are not looked up anywhere: HTTP/mail.contoso.test is the service whatever address answers.
"""
import os
import subprocess

from world import HOST, Child, free_port, wait_for_port

REALM = 'CONTOSO.TEST'
DOMAIN = 'CONTOSO'
PASSWORD = 'Secret-1'
USERS = ('alice', 'bobby')


class Realm:
    def __init__(self, world):
        here, self.port = world.directory, free_port()
        self.keytab = here / 'http.keytab'
        self.world = world
        world.write('krb5.conf', f'''[libdefaults]
    default_realm = {REALM}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
[realms]
    {REALM} = {{
        kdc = 127.0.0.1:{self.port}
    }}
[domain_realm]
    .contoso.test = {REALM}
''')
        world.write('kdc.conf', f'''[kdcdefaults]
    kdc_listen = 127.0.0.1:{self.port}
    kdc_tcp_listen = 127.0.0.1:{self.port}
[realms]
    {REALM} = {{
        database_name = {here}/principal
        key_stash_file = {here}/stash
        acl_file = {here}/acl
        max_life = 1h
    }}
[logging]
    kdc = FILE:{here}/kdc.trace
''')
        openssl = world.write('openssl.cnf', '''openssl_conf = all
[all]
providers = providers
[providers]
default = on
legacy = on
[on]
activate = 1
''')
        users = world.write('ntlm-users', ''.join(f'{DOMAIN}:{user}:{PASSWORD}\n' for user in USERS))
        self.environment = {
            'KRB5_CONFIG': f'{here}/krb5.conf', 'KRB5_KDC_PROFILE': f'{here}/kdc.conf',
            'KRB5_KTNAME': str(self.keytab), 'KRB5RCACHETYPE': 'none', 'OPENSSL_CONF': str(openssl),
        }
        self.server_environment = {**self.environment, 'NTLM_USER_FILE': str(users),
            'NETBIOS_COMPUTER_NAME': 'MAIL', 'NETBIOS_DOMAIN_NAME': DOMAIN}
        self.run('/usr/sbin/kdb5_util', 'create', '-r', REALM, '-s', '-P', 'master')
        self.kadmin(f'addprinc -randkey HTTP/{HOST}')
        self.kadmin(f'ktadd -k {self.keytab} HTTP/{HOST}')
        for user in USERS:
            self.kadmin(f'addprinc -pw {PASSWORD} {user}')
        self.keytab.chmod(0o644)    # the Apache's children read it
        self.child = Child(world, 'krb5kdc', ['/usr/sbin/krb5kdc', '-n', '-r', REALM,
            '-P', f'{here}/kdc.pid'], self.environment)
        wait_for_port(self.child, self.port)

    def run(self, *argv, text=None):
        done = subprocess.run(argv, env={**os.environ, **self.environment}, input=text,
            capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f'{argv}: {done.stdout}{done.stderr}')

    def kadmin(self, query):
        self.run('/usr/sbin/kadmin.local', '-r', REALM, '-q', query)

    def ticket(self, user):
        """Logs the user on. Environment variables for a client that is this user."""
        cache = f'FILE:{self.world.directory}/ticket-{user}'
        self.run('/usr/bin/kinit', '-c', cache, user, text=PASSWORD + '\n')
        return {**self.environment, 'KRB5CCNAME': cache}
