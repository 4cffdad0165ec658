# shellcheck shell=bash
# Part of install.sh: what is kept before a change, and how it is put back. Variables are those of install.sh.
# shellcheck disable=SC2034,SC2154

# Root's own notes stand under /opt: the asterisk user, who owns the state folder, could otherwise have root restore or
# delete files of his choice.
manifest=$program/installed
checkpoint=$program/checkpoint
lock_wait=120

# A directory that always exists is locked, not a file of our own: nothing is left behind. Children inherit the lock on
# purpose: after a kill -9 the next run waits until the last pip of the dead one has ended.
hold_lock() {
    exec 9</opt
    flock --wait "$lock_wait" 9 || refuse 3 "another install.sh is running (or its last command still is)"
}

begin_changes() {
    [[ $begun == no ]] || return 0
    if [[ ! -e $manifest && -d $program && -n $(ls -A -- "$program") ]]; then
        refuse 3 "$program is there, but was not made by install.sh: move it away first"
    fi
    install -d -m 0755 "$program"
    install -d -m 0700 "$checkpoint"
    printf '%s:%s\n' "${asterisk_user:-root}" "${asterisk_group:-}" >"$checkpoint/user"
    : >"$checkpoint/undo"
    begun=yes logging=yes
    # The log stays when all else is put back: it says what went wrong. --uninstall removes it.
    (umask 077 && : >>"$log")
    note "install.sh $action${here:+; $here}"
}

undo_line() { # KIND NUMBER PATH
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$checkpoint/undo"
}

# Keep what is at PATH now (a file, a link, or nothing), before it is changed; `kept` is the copy, in root's own folder.
remember() { # PATH
    local number
    number=$(wc -l <"$checkpoint/undo")
    kept=
    if [[ -e $1 || -L $1 ]]; then
        kept=$checkpoint/$number
        keep_copy "$1" "$kept"
        undo_line old "$number" "$1"
    else
        undo_line new - "$1"
    fi
}

keep_copy() { # PATH COPY
    keeper_of "$1"
    if [[ $keeper == root ]]; then
        cp -a -- "$1" "$2"
    elif [[ -L $1 ]]; then
        ln -s -- "$(as_keeper "$1" readlink -- "$1")" "$2"
    else
        as_keeper "$1" cat -- "$1" >"$2" || refuse 1 "$1 can't be read by $keeper, whose folder it is in"
        chown "$(stat -c %u:%g -- "$1")" "$2"
        chmod "$(stat -c %a -- "$1")" "$2"
    fi
}

put_back() {
    local lines=() index kind number path failed=no
    # Also after a cut off run, which alone knew them.
    IFS=: read -r asterisk_user asterisk_group <"$checkpoint/user" || true
    keepers=()
    mapfile -t lines <"$checkpoint/undo"
    for ((index = ${#lines[@]} - 1; index >= 0; index--)); do
        IFS=$'\t' read -r kind number path <<<"${lines[index]}"
        if put_back_one "$kind" "$number" "$path"; then
            say "  put back: $path"
        else
            failed=yes
            warn "could not put back $path; it was kept as $checkpoint/$number"
        fi
    done
    restore_services "${lines[*]}" || failed=yes
    [[ $failed == no ]] || return 1
    begun=no
    rm -rf -- "$checkpoint"
    [[ -e $manifest ]] || rmdir --ignore-fail-on-non-empty -- "$program"
}

put_back_one() { # KIND NUMBER PATH
    case $1 in
        old) put_back_copy "$checkpoint/$2" "$3" ;;
        new) as_keeper "$3" rm -rf --one-file-system -- "$3" ;;
        dir) [[ ! -d $3 ]] || as_keeper "$3" rmdir --ignore-fail-on-non-empty -- "$3" ;;
        service) ! systemd_runs || systemctl disable --now "$3" ;;
        enable) ! systemd_runs || systemctl enable "$3" ;;
    esac
}

put_back_copy() { # COPY PATH
    if [[ -L $1 ]]; then
        as_keeper "$2" ln -sfnT -- "$(readlink -- "$1")" "$2"
    elif [[ -d $1 ]]; then
        # Only empty ones are kept.
        make_dir "$2" "$(stat -c %u:%g -- "$1")" "$(stat -c %a -- "$1")"
    else
        cp -a -- "$1" "$checkpoint/back" &&
            put_in_place "$checkpoint/back" "$2" "$(stat -c %u:%g -- "$1")" "$(stat -c %a -- "$1")"
    fi
}

# Files are back; now the programs that read them.
restore_services() { # WHAT WAS PUT BACK
    local ok=0
    if systemd_runs; then
        systemctl daemon-reload || ok=1
        [[ ! -e $unit ]] || systemctl restart freepbx-bx24.service || ok=1
    fi
    if asterisk_runs; then
        asterisk_says "dialplan reload" >/dev/null || ok=1
        [[ $1 != *manager* ]] || asterisk_says "manager reload" >/dev/null || ok=1
    fi
    return "$ok"
}

put_back_cut_off_run() {
    [[ -e $checkpoint/undo ]] || return 0
    if [[ $dry == yes ]]; then
        printf 'would put back what the last run, which was cut off, had changed\n'
        return 0
    fi
    logging=yes
    say "The last run was cut off. What it had changed is put back first:"
    put_back || exit 4
    logging=no
}

# What is installed, for the next run and for --uninstall: kind, hash and path of each, in order of making.
record() { # KIND HASH PATH
    records+=("$1"$'\t'"$2"$'\t'"$3")
}

recorded() { # KIND PATH: the hash that the last finished run wrote down; fails when it has none
    [[ -r $manifest ]] || return 1
    awk -F '\t' -v kind="$1" -v path="$2" '$1 == kind && $3 == path { print $2; found = 1 } END { exit !found }' "$manifest"
}

# Something that an earlier run made, and that stays ours.
keep_record() { # KIND PATH
    local known
    if known=$(recorded "$1" "$2"); then record "$1" "$known" "$2"; fi
}

# A settings file is ours by its name, also when an earlier --uninstall left it or the admin has made it.
keep_settings_record() { # PATH
    local known
    [[ -e $1 ]] || return 0
    known=$(recorded file "$1") || known=edited
    record file "$known" "$1"
}

finish_changes() {
    [[ $dry == no ]] || return 0
    keep_packages
    if [[ $begun == no ]] && cmp -s <(printf '%s\n' "${records[@]}" | sort -u) <(sort -u "$manifest"); then
        return 0
    fi
    begin_changes
    remember "$manifest"
    printf '%s\n' "${records[@]}" >"$checkpoint/installed"
    mv -fT -- "$checkpoint/installed" "$manifest"
    # From here on this run counts as finished: the undo list goes first.
    rm -f -- "$checkpoint/undo"
    rm -rf -- "$checkpoint"
    drop_old_programs
}
