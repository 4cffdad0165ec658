# shellcheck shell=bash
# Part of install.sh: --demo: the sandbox of the project, with the Debian packages and the Python that it needs.
# shellcheck disable=SC2034,SC2154

# Beside the sandbox's own downloads; below /var/lib/bx24-sandbox there is nothing but its working roots.
sandbox=/var/cache/bx24-sandbox
demo_packages=(debootstrap python3 python3-venv util-linux ca-certificates)

demo() {
    local python=/usr/bin/python3
    if [[ ${demo_options[*]:-} == --remove ]]; then
        demo_remove
        return
    fi
    ! asterisk_runs || refuse 3 "an Asterisk is running on this machine; the demo is for a machine without one"
    demo_install_packages
    demo_make_venv
    exec env "PYTHONPATH=$source_tree" "$sandbox/venv-demo/bin/python3" -B -m freepbx_bx24.sandbox.demo "${demo_options[@]}" "${demo_listen[@]}"
}

demo_install_packages() {
    local package missing=()
    [[ -n $(type -P apt-get) ]] || refuse 3 "the demo needs Debian (apt-get, debootstrap)"
    for package in "${demo_packages[@]}"; do
        [[ $(dpkg-query --show --showformat '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "Installing the Debian packages ${missing[*]}"
    # Written down before they come: --remove must know them also after a kill -9.
    coming_packages "${missing[@]}" >/dev/null || apt-get update --quiet
    install -d -m 0755 "$sandbox"
    coming_packages "${missing[@]}" >>"$sandbox/packages-demo"
    apt_install "${missing[@]}"
}

# What apt-get would install anew; an upgrade has the old version in brackets behind the name.
coming_packages() { # PACKAGE...
    apt-get --simulate install --no-install-recommends "$@" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p'
}

demo_make_venv() {
    local pip wanted
    wanted=$(cat -- "$source_tree/requirements.lock" "$source_tree/requirements-sandbox.lock" | sha256sum)
    [[ ! -e $sandbox/venv-demo/finished || $(<"$sandbox/venv-demo/finished") != "$wanted" ]] || return 0
    say "Setting up the sandbox's own Python under $sandbox/venv-demo"
    rm -rf -- "$sandbox/venv-demo"
    install -d -m 0755 "$sandbox"
    "$python" -m venv -- "$sandbox/venv-demo"
    pip=("$sandbox/venv-demo/bin/python3" -I -m pip --disable-pip-version-check --no-input)
    [[ -n ${PIP_CACHE_DIR:-} ]] || pip+=(--no-cache-dir)
    "${pip[@]}" install --quiet --require-hashes -r "$source_tree/requirements.lock" -r "$source_tree/requirements-sandbox.lock"
    printf '%s\n' "$wanted" >"$sandbox/venv-demo/finished"
}

# First the sandbox's own: it knows what is running and mounted. Then what was set up for it here.
demo_remove() {
    local packages=()
    if [[ -e $sandbox/venv-demo/finished ]]; then
        env "PYTHONPATH=$source_tree" "$sandbox/venv-demo/bin/python3" -B -m freepbx_bx24.sandbox.demo --remove
    fi
    if [[ -s $sandbox/packages-demo ]]; then
        mapfile -t packages < <(LC_ALL=C sort -u "$sandbox/packages-demo" | LC_ALL=C comm -12 - <(installed_packages))
        ((${#packages[@]} == 0)) || purge_if_unneeded "${packages[@]}"
    fi
    rm -rf --one-file-system -- "$sandbox/venv-demo"
    rm -f -- "$sandbox/packages-demo"
    [[ ! -d $sandbox ]] || rmdir --ignore-fail-on-non-empty -- "$sandbox"
    say "The demo is removed."
}
