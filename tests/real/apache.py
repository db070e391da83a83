"""
apache: Debian's Apache with mod_auth_gssapi as a CAS: NTLM and Kerberos by GSSAPI, bound to the connection
(GssapiConnectionBound) as Exchange binds them. One process, one port per CAS; every answer says who asked, over
which connection of ours (its client port), and at which CAS. The keytab comes by KRB5_KTNAME: with a GssapiCredStore
gss-ntlmssp would get no credentials of a server.
"""
import os

from world import Child, free_port, wait_for_port

MODULES = '/usr/lib/apache2/modules'
LOADED = ('mpm_event', 'authn_core', 'authz_core', 'authz_user', 'auth_gssapi', 'headers')


class Apache:
    def __init__(self, world, realm, servers=2):
        here = world.directory
        files = here / 'www/EWS'
        files.mkdir(parents=True)
        (files / 'Exchange.asmx').write_text('ok\n')
        ports = [free_port() for _ in range(servers)]
        loads = ''.join(f'LoadModule {name}_module {MODULES}/mod_{name}.so\n' for name in LOADED)
        hosts = ''.join(f'''Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    Header always set X-Server cas{n}
</VirtualHost>
''' for n, port in enumerate(ports, 1))
        config = world.write('apache.conf', f'''{loads}
ServerRoot {here}
PidFile {here}/apache.pid
ErrorLog {here}/apache-error.log
Mutex file:{here} default
ServerName mail.contoso.test
{'User www-data' if os.geteuid() == 0 else ''}
{'Group www-data' if os.geteuid() == 0 else ''}
StartServers 2
ThreadsPerChild 64
MaxRequestWorkers 256
KeepAliveTimeout 60
MaxKeepAliveRequests 0
DocumentRoot {here}/www
Header always set X-User "expr=user:%{{REMOTE_USER}}"
Header always set X-Connection "expr=%{{SERVER_PORT}}-%{{REMOTE_PORT}}"
<Directory {here}/www>
    AuthType GSSAPI
    AuthName CAS
    GssapiConnectionBound On
    GssapiAllowedMech krb5
    GssapiAllowedMech ntlmssp
    Require valid-user
</Directory>
{hosts}''')
        self.child = Child(world, 'apache', ['/usr/sbin/apache2', '-D', 'FOREGROUND', '-f', str(config)],
            realm.server_environment)
        for port in ports:
            wait_for_port(self.child, port)
        self.servers = [(f'cas{n}', port, port) for n, port in enumerate(ports, 1)]
        self.error_log = here / 'apache-error.log'
