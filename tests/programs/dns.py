# SPDX-License-Identifier: MIT
"""Questions to a name server and answers of one: as much of the DNS protocol as the cases need."""
import random
import socket
import struct
import threading
from contextlib import contextmanager

from world import Failure

TYPES = {'A': 1, 'NS': 2, 'CNAME': 5, 'SOA': 6, 'MX': 15, 'TXT': 16, 'AAAA': 28}


def pack_name(name):
	return b''.join(bytes([len(p)]) + p.encode() for p in name.strip('.').split('.') if p) + b'\0'


def question(number, name, kind):
	return struct.pack('>6H', number, 0x0100, 1, 0, 0, 0) + pack_name(name) + struct.pack('>2H', TYPES[kind], 1)


def ask(port, name, kind, rounds=20):
	"""(response code, number of answers) over UDP; a lost packet is sent again."""
	with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
		s.connect(('127.0.0.1', port))
		s.settimeout(1)
		number = random.SystemRandom().randrange(65536)
		for _ in range(rounds):
			s.send(question(number, name, kind))
			try:
				answer = s.recv(65536)
			except (TimeoutError, ConnectionRefusedError):
				continue
			if struct.unpack('>H', answer[:2])[0] == number:
				return struct.unpack('>H', answer[2:4])[0] & 15, struct.unpack('>H', answer[6:8])[0]
	raise Failure(f'no answer for {name} {kind}')


def is_served(port, name):
	"""The name has an address by now."""
	try:
		code, count = ask(port, name, 'A', rounds=1)
	except Failure:
		return False
	return code == 0 and count > 0


def read_question(packet):
	"""The name, the type and the raw question of a query."""
	at, parts = 12, []
	while packet[at]:
		parts.append(packet[at + 1:at + 1 + packet[at]].decode())
		at += packet[at] + 1
	return '.'.join(parts), struct.unpack('>H', packet[at + 1:at + 3])[0], packet[12:at + 5]


@contextmanager
def server(records):
	"""A name server in the runner: records(name, type) is the data of each answer, or None when there is no such name."""
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	s.bind(('127.0.0.1', 0))

	def serve():
		while True:
			try:
				packet, client = s.recvfrom(65536)
			except OSError:
				return
			name, kind, asked = read_question(packet)
			found = records(name, kind)
			head = packet[:2] + struct.pack('>5H', 0x8580 | (3 if found is None else 0), 1, len(found or ()), 0, 0)
			body = b''.join(b'\xc0\x0c' + struct.pack('>2HIH', kind, 1, 300, len(data)) + data for data in found or ())
			s.sendto(head + asked + body, client)
	threading.Thread(target=serve, daemon=True).start()
	try:
		yield s.getsockname()[1]
	finally:
		s.close()
