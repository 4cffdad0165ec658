# shellcheck shell=bash
# Part of install.sh: the Python that the programs run on, and the Debian packages that it may lack.
# shellcheck disable=SC2034,SC2154

python_names=(python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9)
# For systems whose own Python is too old: built for glibc 2.17 and later, so for CentOS 7 as well.
standalone_home=/opt/freepbx-bx24-python
standalone_archive=cpython-3.12.12+20251014-x86_64-unknown-linux-gnu-install_only.tar.gz
standalone_url=https://github.com/astral-sh/python-build-standalone/releases/download/20251014
standalone_sha256=1ab2b6594d1c3d76cbebea09d6bc3e6ba68d8eb3b6322080375c4cc3dd188f34

# The one that --python names; else the one that the programs run on already, so that a second run changes nothing; else
# what is on PATH; else the standalone one.
find_python() {
    local name fault found=()
    if [[ -n $python_wanted ]]; then
        python=$python_wanted
        fault=$(python_fault "$python") || refuse 3 "--python: $fault; nothing was changed."
        return 0
    fi
    for name in "$(former_python)" "${python_names[@]}" "$standalone_home/bin/python3"; do
        python=$(type -P -- "$name") || continue
        if fault=$(python_fault "$python"); then return 0; fi
        found+=("  $fault")
    done
    ((${#found[@]})) || found=("  none")
    refuse 3 "a Python from 3.9 to 3.14 is needed, and nothing was changed. Found:" "${found[@]}" "$(python_recipe)"
}

former_python() {
    [[ ! -x $program/venv/bin/python3 ]] || readlink -f -- "$program/venv/bin/python3"
}

# Why a Python will not do; fails where there is a reason. Root runs it: whoever may write it would be root.
python_fault() { # PATH
    local version
    if [[ ! -f $1 || ! -x $1 ]]; then
        printf '%s is no program that can be run\n' "$1"
    elif ! version=$("$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null); then
        printf '%s does not start\n' "$1"
    elif [[ ! $version =~ ^3\.(9|1[0-4])\. ]]; then
        printf '%s is Python %s\n' "$1" "$version"
    elif ! runuser -u "$asterisk_user" -- "$1" -c '' 2>/dev/null; then
        printf '%s is Python %s, but %s may not run it\n' "$1" "$version" "$asterisk_user"
    elif [[ $asterisk_user != root ]] && runuser -u "$asterisk_user" -- test -w "$(readlink -f -- "$1")"; then
        printf '%s is Python %s, but %s may write it: root must not run it\n' "$1" "$version" "$asterisk_user"
    else
        return 0
    fi
    return 1
}

python_recipe() {
    if [[ -n $(type -P apt-get) ]]; then
        printf 'Type:  apt-get install python3 python3-venv\nThen run install.sh again.\n'
    elif [[ -n $(type -P dnf) ]]; then
        printf 'Type:  dnf install python3.11\nThen run install.sh again.\n'
    else
        printf '%s\n' "Put a Python of its own beside the system's, which stays as it is; as root:" \
            "  curl -fLo /root/python.tar.gz '$standalone_url/${standalone_archive/+/%2B}'" \
            "  echo '$standalone_sha256  /root/python.tar.gz' | sha256sum -c" \
            "  mkdir -p $standalone_home" \
            "  tar -xzf /root/python.tar.gz -C $standalone_home --strip-components=1 --no-same-owner" \
            "Then run install.sh again: it finds it. Without Internet here: fetch the file elsewhere, and see --wheels."
    fi
}

# venv without ensurepip makes an environment without pip; Debian keeps it in a package of its own.
need_venv() {
    local package before
    ! "$python" -c 'import ensurepip, venv' 2>/dev/null || return 0
    package=python3-venv
    [[ ${python##*/} == python3 ]] || package=${python##*/}-venv
    if [[ -z $(type -P apt-get) ]]; then
        refuse 3 "$python lacks ensurepip. Red Hat family: yum install python3-pip python3-setuptools; then run install.sh again."
    fi
    if change "install the Debian package $package"; then
        before=$(installed_packages)
        apt_install "$package"
        while read -r package; do
            record package - "$package"
        done < <(new_packages "$before")
    fi
}

apt_install() { # PACKAGE...
    local -x DEBIAN_FRONTEND=noninteractive
    # The lists may be absent or too old: only then they are fetched.
    run apt-get install --quiet --yes --no-install-recommends "$@" 9<&- && return 0
    run apt-get update --quiet 9<&-
    run apt-get install --quiet --yes --no-install-recommends "$@" 9<&-
}

installed_packages() {
    dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii *//p' | LC_ALL=C sort -u
}

# Packages that came since BEFORE: they go into the manifest, and --uninstall says how they go.
new_packages() { # BEFORE
    LC_ALL=C comm -13 <(printf '%s\n' "$1") <(installed_packages)
}

# Only when nothing that was there before would go with them.
purge_if_unneeded() { # PACKAGE...
    local going
    going=$(apt-get --simulate purge "$@" | sed -n 's/^Purg \([^ ]*\).*/\1/p' | LC_ALL=C sort -u)
    if [[ $going == "$(printf '%s\n' "$@" | LC_ALL=C sort -u)" ]]; then
        DEBIAN_FRONTEND=noninteractive apt-get purge --quiet --yes "$@"
    else
        warn "other packages have come to need these, so they stay: $*"
    fi
}

keep_packages() {
    local package
    [[ -r $manifest ]] || return 0
    while read -r package; do
        record package - "$package"
    done < <(awk -F '\t' '$1 == "package" { print $3 }' "$manifest")
}
