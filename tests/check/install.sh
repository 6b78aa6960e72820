# SPDX-License-Identifier: MIT
# Installs Debian packages; ./quickstart and ./check read it. If it fails, nothing else here starts on a bare machine.
# Services that come with a package (redis, postgresql, ...) are kept from starting: the tests start their own.

# Prints those of the packages named that are not installed, one a line.
missing_packages() {
	local name state
	declare -A installed=()
	while read -r name state; do
		[ "$state" != installed ] || installed[$name]=1
	done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n${Package}:${Architecture} ${db:Status-Status}\n')
	for name; do
		[ -n "${installed[$name]-}" ] || printf '%s\n' "$name"
	done
}

policy=/usr/sbin/policy-rc.d
forbid_services() {
	[ -e $policy.before-ashlar ] || [ ! -e $policy ] || mv $policy $policy.before-ashlar
	printf '#!/bin/sh\n# ashlar: removed when the installation is over\nexit 101\n' >$policy
	chmod 755 $policy
}
allow_services() {
	if [ -e $policy.before-ashlar ]; then
		mv -f $policy.before-ashlar $policy
	else
		rm -f $policy
	fi
}

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# install_packages LOG PACKAGE...: installs what is missing of them. Says what to type where it may not.
install_packages() {
	local log=$1 began=$SECONDS
	shift
	local -a missing
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ]; then
		echo "${0##*/}: only root can install what is missing. As root:" >&2
		echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
		return 1
	fi
	echo "installing ${#missing[@]} packages: ${missing[*]}" | fold -s -w 110
	mkdir -p "$(dirname "$log")"
	trap allow_services EXIT
	forbid_services
	local status=0
	{ apt update && apt install "${missing[@]}"; } >"$log" 2>&1 </dev/null || status=$?
	allow_services
	trap - EXIT
	mapfile -t missing < <(missing_packages "$@")
	if [ $status != 0 ] || [ ${#missing[@]} -gt 0 ]; then
		tail -n 20 "$log" >&2
		echo "${0##*/}: could not install: ${missing[*]-} (the whole output: $log)" >&2
		return 1
	fi
	echo "installed in $((SECONDS - began)) s"
}
