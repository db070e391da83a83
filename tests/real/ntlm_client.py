#!/usr/bin/python3
"""
ntlm_client: python3-requests-ntlm as a client, in a process of its own, since its OpenSSL needs the legacy
provider for MD4. Prints one line of JSON per answer: who asked, what the server took them for.

usage: ntlm_client.py PORT CA USER[:PASSWORD]... --requests N --bytes N      all users at the same time
"""
import argparse
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import requests
from requests_ntlm import HttpNtlmAuth

from realm import DOMAIN, PASSWORD
from world import HOST

look_up = socket.getaddrinfo


def to_loopback(host, *rest, **named):
    return look_up('127.0.0.1' if host == HOST else host, *rest, **named)


def play(options, user, password):
    session = requests.Session()
    session.trust_env = False
    session.verify = options.ca
    session.auth = HttpNtlmAuth(f'{DOMAIN}\\{user}', password)
    seen = []
    for _ in range(options.requests):
        url = f'https://{HOST}:{options.port}/EWS/Exchange.asmx'
        answer = session.post(url, data=b'x' * options.bytes, timeout=60) if options.bytes else \
            session.get(url, timeout=60)
        seen.append({'user': user, 'status': answer.status_code,
            'seen': answer.headers.get('X-User', ''), 'connection': answer.headers.get('X-Connection')})
    return seen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('port', type=int)
    parser.add_argument('ca')
    parser.add_argument('users', nargs='+')
    parser.add_argument('--requests', type=int, default=1)
    parser.add_argument('--bytes', type=int, default=0)
    options = parser.parse_args()
    socket.getaddrinfo = to_loopback
    with ThreadPoolExecutor(len(options.users)) as pool:
        plays = []
        for word in options.users:
            user, _, password = word.partition(':')
            plays.append(pool.submit(play, options, user, password or PASSWORD))
        for done in plays:
            for answer in done.result():
                print(json.dumps(answer))


if __name__ == '__main__':
    main()
