# shellcheck shell=bash
# Part of install.sh: who writes in a folder. What Asterisk's user may change could lead root elsewhere, by a link in the
# place of a file or of a folder: there everything is written, read and removed as that user.
# shellcheck disable=SC2034,SC2154

declare -A keepers=()

# Asterisk's user where a folder on the way to PATH is that user's, or can be written by that user; else root.
keeper_of() { # PATH
    local folder=${1%/*} user=${asterisk_user:-root}
    if [[ -z ${keepers[${folder:-/}]:-} ]]; then
        keepers[${folder:-/}]=root
        if [[ $user != root ]] && id -u -- "$user" >/dev/null 2>&1 && may_change "$user" "$folder"; then
            keepers[${folder:-/}]=$user
        fi
    fi
    keeper=${keepers[${folder:-/}]}
}

may_change() { # USER FOLDER
    local way folders=()
    # Both as it is written and as links lead it.
    for way in "$2" "$(readlink -m -- "${2:-/}")"; do
        while [[ -n $way && $way != / ]]; do
            folders+=("$way")
            way=${way%/*}
        done
    done
    # In a sticky one, as /tmp, only what is one's own can be changed.
    # shellcheck disable=SC2016  # for the other shell
    ((${#folders[@]})) && runuser -u "$1" -- sh -c 'for folder; do
        if [ -O "$folder" ] || { [ -w "$folder" ] && [ ! -k "$folder" ]; }; then exit 0; fi; done; exit 1' sh "${folders[@]}"
}

as_keeper() { # PATH COMMAND...
    keeper_of "$1"
    shift
    if [[ $keeper == root ]]; then "$@"; else runuser -u "$keeper" -- "$@"; fi
}

make_dir() { # PATH OWNER:GROUP MODE
    keeper_of "$1"
    if [[ $keeper == root ]]; then
        install -d -o "${2%:*}" -g "${2#*:}" -m "$3" -- "$1"
    else
        as_keeper "$1" install -d -m "$3" -- "$1"
    fi
}

# A file of root's own is put at TARGET, whole or not at all.
put_in_place() { # FILE TARGET OWNER:GROUP MODE
    keeper_of "$2"
    if [[ $keeper == root ]]; then
        chown "$3" "$1"
        chmod "$4" "$1"
        mv -fT -- "$1" "$2"
        # With its status: within the trap that puts things back a bare `return` has the one from before the trap.
        return $?
    fi
    # shellcheck disable=SC2016  # for the other shell
    runuser -u "$keeper" -g "${asterisk_group:-$(id -gn -- "$keeper")}" -- sh -c '
        umask 077 && rm -f -- "$1.bx24-new" && set -C && cat >"$1.bx24-new" && chmod -- "$2" "$1.bx24-new" &&
            mv -fT -- "$1.bx24-new" "$1"' sh "$2" "$4" <"$1"
    rm -f -- "$1"
    keep_owner "$2" "$3"
}

# Another's file stays its owner's (told by numbers, as it was found), where only the last folder is not root's: a link in
# its place is not followed. What is new belongs to who may replace it anyway.
keep_owner() { # PATH OWNER:GROUP
    [[ $2 =~ ^[0-9]+:[0-9]+$ && $(stat -c %u:%g -- "$1") != "$2" ]] || return 0
    keeper_of "${1%/*}"
    [[ $keeper != root ]] || chown -h -- "$2" "$1"
}
