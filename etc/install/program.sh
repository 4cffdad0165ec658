# shellcheck shell=bash
# Part of install.sh: Python, the programs under /opt/freepbx-bx24 and the way to them.
# shellcheck disable=SC2034,SC2154

python_names=(python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9)

find_python() {
    local name version found=()
    for name in "${python_names[@]}"; do
        python=$(type -P "$name") || continue
        version=$("$python" -c 'import platform; print(platform.python_version())')
        if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
            found+=("$python is $version")
        elif ! runuser -u "$asterisk_user" -- "$python" -c ''; then
            found+=("$python is $version, but $asterisk_user may not run it")
        else
            return 0
        fi
    done
    refuse 3 "Python 3.9 or newer is needed; found: ${found[*]:-none}." \
        "Debian and Ubuntu: apt-get install python3 python3-venv. Red Hat 8 and later: yum install python3.11." \
        "Older systems, as the FreePBX distro on CentOS 7: put a newer Python beside the system's own, so that a" \
        "command python3.9 ... python3.14 is in /usr/local/bin and the user of Asterisk may run it."
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

# One name for one content: the same locked versions, the same sources, the same Python.
program_name() {
    local id
    id=$({
        "$python" -VV
        readlink -f -- "$python"
        cd -- "$source_tree" || exit
        find requirements.lock setup.cfg pyproject.toml freepbx_bx24 -type f ! -path '*/__pycache__/*' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum)
    printf 'venv-%s\n' "${id:0:12}"
}

# Each version has a directory of its own, and one link says which is used: calls never meet a half-made one, and going
# back is changing the link.
install_program() {
    local name
    name=$(program_name)
    if [[ ! -e $program/$name/finished ]]; then
        need_venv
        if change "make $program/$name (Python packages: half a minute)"; then
            undo_line new - "$program/$name"
            rm -rf -- "${program:?}/$name"
            build_program "$program/$name"
        fi
    fi
    put_link "$name" "$program/venv"
    put_link "venv/lib/python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')/site-packages" "$program/lib"
    put_link "$program/venv/bin/bx24" "$command_link"
}

build_program() { # DIRECTORY
    local build=$checkpoint/build pip
    pip=("$1/bin/python3" -I -B -m pip --disable-pip-version-check --no-input)
    "$python" -I -B -m venv -- "$1"
    # A cache is used where the caller has named one; root's own home stays as it is.
    [[ -n ${PIP_CACHE_DIR:-} ]] || pip+=(--no-cache-dir)
    run "${pip[@]}" install --progress-bar off --no-compile --require-hashes -r "$source_tree/requirements.lock"
    # Built from a copy: setuptools writes into the tree that it builds.
    install -d "$build"
    cp -- "$source_tree/setup.cfg" "$source_tree/pyproject.toml" "$build"
    [[ ! -e $source_tree/README.md ]] || cp -- "$source_tree/README.md" "$build"
    cp -R -- "$source_tree/freepbx_bx24" "$build"
    find "$build" -name __pycache__ -prune -exec rm -rf {} +
    run "${pip[@]}" install --quiet --no-compile --no-index --no-deps --no-build-isolation "$build"
    # They have done their work; setuptools' .pth file would cost every start of bx24, and a new version is built anew.
    run "${pip[@]}" uninstall --quiet --yes setuptools pip
    rm -rf -- "$build"
    # The asterisk user can't write compiled files, and without them a start takes twice as long.
    run "$1/bin/python3" -I -m compileall -q "$1/lib"
    : >"$1/finished"
}

drop_old_programs() {
    local old
    for old in "$program"/venv-*; do
        [[ ! -d $old || $old == "$program/$(readlink -- "$program/venv")" ]] || rm -rf --one-file-system -- "$old"
    done
}

# As an AGI script does it, and as the same user.
verify_program() {
    [[ $dry == no ]] || return 0
    runuser -u "$asterisk_user" -- "$program/venv/bin/python3" -IS -c "
import sys
sys.path.append('$program/lib')
import asterisk.agi, phonenumbers, requests, yaml, freepbx_bx24.guard" || refuse 1 "the installed programs can't be run by $asterisk_user"
}
