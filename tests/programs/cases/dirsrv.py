# SPDX-License-Identifier: MIT
import hashlib
import os
import pwd
import random
import re
import shutil
import socket

from world import answers, program

SHARE = '/usr/share/dirsrv'
ROOT, PASSWORD, SUFFIX = 'cn=Directory Manager', 'test-password', 'dc=example,dc=test'
FOLDERS = ('config', 'lock', 'tmp', 'ldif', 'bak', 'run', 'inst', 'log', 'db')


def configuration(w, port, user):
	"""The folders and dse.ldif of an instance, from the template that Debian's own tool fills in."""
	for folder in FOLDERS:
		os.mkdir(w.path(folder))
	for name in ('certmap.conf', 'slapd-collations.conf'):
		shutil.copy(f'/etc/dirsrv/config/{name}', w.path('config', name))
	shutil.copytree('/etc/dirsrv/schema', w.path('config', 'schema'))
	values = {f'{folder}_dir': w.path(folder) for folder in FOLDERS}
	values.update(cert_dir=w.path('config'), schema_dir=w.path('config', 'schema'), db_home_dir=w.path('db'), db_lib='bdb', ds_passwd='{CLEAR}' + PASSWORD, ds_port=str(port),
		ds_suffix=SUFFIX, ds_user=user, fqdn='localhost', ldapi=w.path('run', 'ldapi'), ldapi_autobind='off', ldapi_enabled='off', rootdn=ROOT)
	with open(f'{SHARE}/data/template-dse.ldif') as f:
		text = re.sub(r'%(\w+)%', lambda m: values[m.group(1)], f.read())
	with open(w.path('config', 'dse.ldif'), 'w') as f:
		f.write(text)
	for folder, _, files in os.walk(w.dir):
		for path in (folder, *(os.path.join(folder, name) for name in files)):
			shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


BACKEND = f'''dn: cn=userRoot,cn=ldbm database,cn=plugins,cn=config
objectClass: extensibleObject
objectClass: nsBackendInstance
nsslapd-suffix: {SUFFIX}

dn: cn="{SUFFIX}",cn=mapping tree,cn=config
objectClass: extensibleObject
objectClass: nsMappingTree
nsslapd-state: backend
nsslapd-backend: userRoot

'''


def people(count):
	rng = random.Random(389)
	yield f'dn: {SUFFIX}\nobjectClass: top\nobjectClass: domain\ndc: example\n\n'
	yield f'dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n'
	for i in range(count):
		yield (f'dn: uid=user{i},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: user{i}\ncn: Person {rng.randrange(1000)}\nsn: Name{i % 97}\n'
			f'mail: user{i}@example.test\ndescription: {"d" * rng.randrange(1, 1500)}\n\n')


@program('389-ds', needs={'/usr/sbin/ns-slapd': '389-ds-base', '/usr/bin/ldapadd': 'ldap-utils', '/usr/bin/ldapsearch': 'ldap-utils'},
	timeout=240, linked=True, own_allocator=True)
def dirsrv(w):
	"""A directory of 1500 people: added, searched, changed, sorted by the server, deleted; then a restart on its files."""
	port, user = w.free_port(), 'dirsrv' if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
	configuration(w, port, user)
	url = f'ldap://127.0.0.1:{port}'
	bound = ('-x', '-H', url, '-D', ROOT, '-w', PASSWORD)

	def search(*words):
		out = w.run('ldapsearch', *bound, '-LLL', '-o', 'ldif-wrap=no', '-b', SUFFIX, *words, compare=False, main=False)
		w.record('ldapsearch ' + ' '.join(words), hashlib.sha256(b''.join(sorted(out.splitlines(True)))).hexdigest() + f' {len(out)}')
	server = ('/usr/sbin/ns-slapd', '-D', w.path('config'), '-i', w.path('run', 'pid'), '-d', '0')
	ready = answers(socket.AF_INET, ('127.0.0.1', port))
	with w.server(*server, ready=ready, user=user if os.getuid() == 0 else None):
		w.run('ldapadd', *bound, stdin=(BACKEND + ''.join(people(1500))).encode(), compare=False, main=False)
		search('(uid=user1*)', 'mail', 'description')
		search('(&(sn=name5)(mail=*example*))', 'cn')
		search('(description=*ddddd*)', 'sn')
		w.run('ldapsearch', *bound, '-LLL', '-E', 'sss=-cn', '-E', 'pr=200/noprompt', '-b', SUFFIX, '(uid=*)', 'dn', compare=False, main=False)
		changes = ''.join(f'dn: uid=user{i},ou=people,{SUFFIX}\nchangetype: modify\nreplace: description\ndescription: {"n" * (i % 700 + 1)}\n\n'
			for i in range(0, 1500, 3))
		gone = ''.join(f'dn: uid=user{i},ou=people,{SUFFIX}\nchangetype: delete\n\n' for i in range(0, 1500, 7))
		w.run('ldapmodify', *bound, stdin=(changes + gone).encode(), compare=False, main=False)
		search('(uid=*)', 'description')
	with w.server(*server, ready=ready, user=user if os.getuid() == 0 else None):
		search('(uid=*)', 'description', 'mail')
