# shellcheck shell=bash
# Part of install.sh: --uninstall: everything that the manifest names goes, except what would be missed.
# shellcheck disable=SC2034,SC2154

uninstall_all() {
    local lines=() index kind hash path left=() packages=() last=() portal_keeps
    mapfile -t lines < <(what_is_ours)
    if ((${#lines[@]} == 0)); then
        say "freepbx_bx24 is not installed here; nothing to remove."
        return 0
    fi
    # As it was installed for; the Asterisk may be gone by now.
    if [[ -d $state ]]; then IFS=: read -r asterisk_user asterisk_group < <(stat -c %U:%G -- "$state"); fi
    [[ ! -e $manifest ]] || settle_owed
    portal_keeps=$(what_the_portal_keeps)
    stop_service
    unbind_events
    decide_what_stays
    # The hooks first: no new call may start a script that is about to go.
    for ((index = ${#lines[@]} - 1; index >= 0; index--)); do
        IFS=$'\t' read -r kind hash path <<<"${lines[index]}"
        [[ $kind != block ]] || remove_one "$kind" "$hash" "$path"
    done
    reload_without_hooks
    reload_without_manager
    for ((index = ${#lines[@]} - 1; index >= 0; index--)); do
        IFS=$'\t' read -r kind hash path <<<"${lines[index]}"
        [[ $kind == block ]] || remove_one "$kind" "$hash" "$path"
    done
    if [[ $dry == yes ]]; then
        printf 'Nothing was changed (--dry-run).\n'
        return 0
    fi
    ! systemd_runs || systemctl daemon-reload
    # Finished: what was kept for putting back goes with the programs.
    rm -f -- "$checkpoint/undo"
    for path in ${last[@]+"${last[@]}"}; do as_keeper "$path" rm -rf --one-file-system -- "$path"; done
    rm -rf --one-file-system -- "${program:?}"
    begun=no
    rm -f -- "$log"
    leave_packages
    ((${#left[@]} == 0)) || printf 'Left in place: %s\n' "${left[@]}"
    [[ -z $portal_keeps ]] || printf 'To be removed in Bitrix24 by hand, where nothing else uses it:\n%s\n' "$portal_keeps"
    printf 'freepbx_bx24 is removed.\n'
}

# The manifest; and where an earlier --uninstall has left settings and calls, --purge knows them by their names.
what_is_ours() {
    local path
    if [[ -e $manifest ]]; then
        cat -- "$manifest"
    elif [[ $purge == yes ]]; then
        for path in "$state" "$state/intake" "$config" "$webhook" "$secret"; do
            [[ ! -e $path ]] || printf '%s\t-\t%s\n' "$([[ -d $path ]] && echo dir || echo file)" "$path"
        done
    fi
}

# Settings that somebody has edited, and calls that the CRM may not have yet, are kept together: without the pbx_id
# the calls would not be the same calls.
decide_what_stays() {
    keep=no
    [[ $purge == no ]] || return 0
    local path
    for path in "$config" "$webhook" "$secret"; do
        if [[ -e $path && $(hash_of "$path") != "$(recorded file "$path")" ]]; then keep=yes; fi
    done
    if [[ -d $state && -n $(find "$state" -type f -print -quit) ]]; then keep=yes; fi
}

remove_one() { # KIND HASH PATH
    case $1 in
        block) ! has_block "$3" || ! change "take our lines out of $3" || take_block_out "$3" ;;
        made) [[ ! -e $3 || -s $3 ]] || ! change "remove $3, now empty" || drop "$3" ;;
        link) [[ ! -L $3 || $(readlink -- "$3") != "$2" ]] || ! change "remove $3" || drop "$3" ;;
        file) remove_file "$2" "$3" ;;
        dir) remove_dir "$3" ;;
        package) packages+=("$3") ;;
    esac
}

# Installed for us, but something else may have come to use them since.
leave_packages() {
    ((${#packages[@]})) || return 0
    if [[ $purge == yes ]]; then
        purge_if_unneeded "${packages[@]}"
    else
        left+=("Debian packages that were installed for it; to remove them: apt-get purge ${packages[*]}")
    fi
}

remove_file() { # HASH PATH
    [[ -e $2 ]] || return 0
    if [[ $keep == yes && ($2 == "$config" || $2 == "$webhook" || $2 == "$secret") ]]; then
        left+=("$2 (to remove it as well: --uninstall --purge)")
    elif [[ $purge == no && $(hash_of "$2") != "$1" ]]; then
        if change "keep $2, which was edited, as $2.bx24-saved"; then
            remember "$2.bx24-saved"
            remember "$2"
            as_keeper "$2" mv -fT -- "$2" "$2.bx24-saved"
        fi
        left+=("$2.bx24-saved")
    elif change "remove $2"; then
        drop "$2"
    fi
}

drop() { # PATH
    remember "$1"
    as_keeper "$1" rm -f -- "$1"
}

remove_dir() { # PATH
    [[ -d $1 ]] || return 0
    if [[ $1 == "$state" || $1 == "$state/"* ]] && [[ $keep == yes ]]; then
        [[ $1 != "$state" ]] || left+=("$1 (to remove it as well: --uninstall --purge)")
        return 0
    fi
    change "remove the directory $1" || return 0
    case $1 in
        # Nothing in these is anybody else's: sockets, and by now only calls that are to be purged; at the very end, since
        # they could not be put back.
        "$state" | "$state/"* | "$runtime") last+=("$1") ;;
        *) [[ -n $(ls -A -- "$1") ]] || remember "$1"
            as_keeper "$1" rmdir --ignore-fail-on-non-empty -- "$1" ;;
    esac
}

reload_without_hooks() {
    [[ $dry == no ]] && asterisk_runs || return 0
    asterisk_says "dialplan reload" >/dev/null
    ! grep -qF 'Goto(bx24-pstn' <<<"$(asterisk_says "dialplan show from-pstn")" ||
        refuse 1 "Asterisk still has our lines in [from-pstn] after a dialplan reload; its log says why"
}
