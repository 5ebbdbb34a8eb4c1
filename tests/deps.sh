#!/bin/sh
# Installs, on Debian, what a step needs and the machine does not have:  deps.sh build|demo|check|bench
#
# Nothing that is installed here starts or configures a service of the machine: while apt runs, policy-rc.d
# forbids starting; Postfix is told "No configuration"; what would come up at boot is disabled. If apt
# would have to remove something (another MTA, say), this stops before anything is changed.
set -eu

level=${1:-build}
build="gcc libc6-dev libmilter-dev libssl-dev libidn2-dev libunistring-dev libhiredis-dev libcurl4-openssl-dev libldap-dev
    libsqlite3-dev uthash-dev"
demo="$build openssl postfix python3"
check="$demo clang libclang-rt-14-dev clang-format libcmocka-dev gpgsm gnupg libnss3-tools libbcmail-java openjdk-17-jdk-headless mandoc procps
    libgmime-3.0-dev pkg-config
    m4 libwrap0 libnsl2 libdb5.3 libsasl2-2 redis-server slapd ldap-utils
    libsasl2-modules sasl2-bin
    samba samba-ad-dc samba-ad-provision samba-dsdb-modules winbind ldb-tools python3-markdown"
bench="$demo opendkim valgrind slapd"
# Sendmail would replace Postfix: it is unpacked, never installed (below).
case $level in
build) wanted=$build ;;
demo) wanted=$demo ;;
check) wanted=$check ;;
bench) wanted=$bench ;;
*) echo "usage: deps.sh build|demo|check|bench" >&2; exit 2 ;;
esac

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done

# Sendmail, unpacked beside Postfix into build/sendmail: nothing of it reaches the machine.
unpack_sendmail() {
    [ "$level" = check ] || return 0
    [ ! -e build/sendmail/usr/libexec/sendmail/sendmail ] || return 0
    rm -rf build/sendmail
    mkdir -p build/sendmail/debs
    chmod 777 build/sendmail/debs
    if (cd build/sendmail/debs && apt-get -q download sendmail-bin sendmail-cf >/dev/null 2>&1); then
        for package in build/sendmail/debs/*.deb; do dpkg-deb -x "$package" build/sendmail; done
    else
        echo "smimed: Sendmail could not be fetched; its tests will be skipped" >&2
    fi
}

if [ -z "$missing" ]; then
    unpack_sendmail
    exit 0
fi

echo "smimed: these Debian packages are needed and not installed:$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "smimed: this is not Debian: please install their equivalents yourself" >&2
    exit 1
fi
root=
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1; then
        root="sudo"
        echo "smimed: installing needs root; sudo may ask for your password"
    else
        echo "smimed: installing needs root, and there is no sudo: run as root:" >&2
        echo "    apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi

export DEBIAN_FRONTEND=noninteractive
apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=false"
$apt update >/dev/null || echo "smimed: apt-get update failed; trying with the lists that are there" >&2
# shellcheck disable=SC2086
if ! plan=$($apt -s install $missing 2>&1); then
    printf '%s\n' "$plan" >&2
    echo "smimed: apt-get cannot install these packages" >&2
    exit 1
fi
removed=$(printf '%s\n' "$plan" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | tr '\n' ' ')
if [ -n "$removed" ]; then
    echo "smimed: apt-get would remove: $removed" >&2
    echo "smimed: nothing was changed; use a machine without another MTA, or install by hand" >&2
    exit 1
fi

# Nothing may start while packages are configured.
policy=/usr/sbin/policy-rc.d
saved=
cleanup() {
    $root rm -f "$policy"
    [ -z "$saved" ] || $root mv -f "$saved" "$policy"
}
if [ -e "$policy" ]; then
    saved=$policy.before-smimed
    $root mv -f "$policy" "$saved"
fi
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
$root chmod 755 "$policy"
case " $missing " in
*" postfix "*)
    echo "postfix postfix/main_mailer_type select No configuration" | $root debconf-set-selections
    ;;
esac
case " $missing " in
*" slapd "*) echo "slapd slapd/no_configuration boolean true" | $root debconf-set-selections ;;
esac
log=$(mktemp)
# shellcheck disable=SC2086
if ! $apt -y install $missing >"$log" 2>&1; then
    tail -30 "$log" >&2
    rm -f "$log"
    echo "smimed: apt-get failed" >&2
    exit 1
fi
rm -f "$log"
# Samba's package brings several.
services="postfix redis-server opendkim slapd smbd nmbd samba-ad-dc winbind"
case " $missing " in *" samba "*) parts="smbd nmbd samba-ad-dc" ;; *) parts= ;; esac
if command -v systemctl >/dev/null 2>&1; then
    for service in $services; do
        case " $missing $parts " in
        *" $service "*) $root systemctl disable "$service.service" >/dev/null 2>&1 || true ;;
        esac
    done
fi
# The same where init is not systemd.
if command -v update-rc.d >/dev/null 2>&1; then
    for service in $services; do
        case " $missing $parts " in
        *" $service "*) $root update-rc.d "$service" disable >/dev/null 2>&1 || true ;;
        esac
    done
fi
unpack_sendmail
