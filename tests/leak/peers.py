"""
peers: Debian's HAProxy and nginx as controls of the leak matrix, configured as their users do: HAProxy with
its default http-reuse, nginx with a keepalive pool (its own default since 1.29.7). Both terminate TLS and speak
plain HTTP/1.1 to the same simulated farm as casgate.
"""
import os
import shutil
import signal
import subprocess

from world import Child, certificate, free_port, wait_for_port


def missing():
    return [name for name in ('haproxy', 'nginx') if not program(name)]


def program(name):
    return shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def version_of(argv):
    run = subprocess.run(argv, capture_output=True, text=True)
    words = (run.stdout + run.stderr).replace('/', ' ').replace('-', ' ').split()
    return next((word for word in words if word[0].isdigit()), '')


def bundle(world):
    """Certificate and key in one file."""
    chain, key = certificate()
    return world.write('bundle.pem', chain.read_text() + key.read_text())


class Peer:
    def finish(self):
        self.child.end()
        return []


class Haproxy(Peer):
    name = 'haproxy'

    def __init__(self, world, servers):
        self.port = free_port()
        lines = ''.join(f'    server {name} 127.0.0.1:{plain}\n' for name, plain, _ in servers)
        config = world.write('haproxy.cfg', f'''global
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 1m
frontend tls
    bind 127.0.0.1:{self.port} ssl crt {bundle(world)} alpn http/1.1
    default_backend farm
backend farm
    balance roundrobin
{lines}''')
        self.child = Child(world, 'haproxy', [program('haproxy'), '-W', '-db', '-f', str(config)])
        wait_for_port(self.child, self.port)

    def reload(self):
        self.child.send_signal(signal.SIGUSR2)

    def version(self):
        return version_of([program('haproxy'), '-v'])


class Nginx(Peer):
    name = 'nginx'

    def __init__(self, world, servers):
        self.port = free_port()
        chain, key = certificate()
        lines = ''.join(f'        server 127.0.0.1:{plain};\n' for _, plain, _ in servers)
        here = world.directory
        places = ''.join(f'    {name}_temp_path {here}/{name};\n'
            for name in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        config = world.write('nginx.conf', f'''daemon off;
user root;
worker_processes 2;
pid {here}/nginx.pid;
error_log {here}/nginx-error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{places}    upstream farm {{
{lines}        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{self.port} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        keepalive_requests 100000;
        location / {{
            proxy_pass http://farm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}
}}
''')
        self.child = Child(world, 'nginx', [program('nginx'), '-c', str(config), '-e',
            f'{here}/nginx-error.log'])
        wait_for_port(self.child, self.port)

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def version(self):
        return version_of([program('nginx'), '-v'])
