# shellcheck shell=bash
# Part of install.sh: the programs under /opt/freepbx-bx24 and the way to them.
# shellcheck disable=SC2034,SC2154

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
    local build=$checkpoint/build pip locked=(--require-hashes -r "$source_tree/requirements.lock")
    pip=("$1/bin/python3" -I -B -m pip --disable-pip-version-check --no-input)
    "$python" -I -B -m venv -- "$1"
    # A cache is used where the caller has named one; root's own home stays as it is.
    [[ -n ${PIP_CACHE_DIR:-} ]] || pip+=(--no-cache-dir)
    [[ -z $wheels ]] || locked+=(--no-index --find-links "$wheels")
    run "${pip[@]}" install --progress-bar off --no-compile "${locked[@]}"
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

# As Asterisk does it, and as the same user; also where Asterisk is not running, and only once the scripts are there.
verify_program() {
    [[ $dry == no && $begun == yes ]] || return 0
    local said
    # Its environment ends with an empty line; then each of its commands is answered.
    said=$(printf 'agi_uniqueid: 1.1\n\n200 result=1\n200 result=1\n' |
        timeout 20 runuser -u "$asterisk_user" -- "$agi_dir/bx24_register.py" verify 2>&1) || true
    grep -qF "BX24_REASON \"user $(id -u -- "$asterisk_user")\"" <<<"$said" ||
        refuse 1 "$agi_dir/bx24_register.py does not run as $asterisk_user:" "${said:-it said nothing}"
}
