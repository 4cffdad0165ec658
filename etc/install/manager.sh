# shellcheck shell=bash
# Part of install.sh: the user by whom the service listens to Asterisk's manager interface (AMI), proved by a login.
# shellcheck disable=SC2034,SC2154

manager_user=bx24
# Events of the class `call` that are many and that nothing of ours reads; tests/install/test_manager_events.py compares
# the list with what is read. Left out by name, one by one: an event that a later version reads comes by itself.
unread_events=(
    NewConnectedLine NewCallerid NewAccountCode Newexten Newstate DialState BridgeCreate HangupRequest SoftHangupRequest
    MusicOnHoldStart MusicOnHoldStop Hold Unhold LocalBridge LocalOptimizationBegin LocalOptimizationEnd
    DeviceStateChange ExtensionStatus PresenceStateChange PresenceStatus MessageWaiting
)
# The release of each branch from which on a filter can name an event (ChangeLogs: "Enhance event filtering").
filters_by_name_since=([18]=26 [20]=11 [21]=6 [22]=1)

# Before anything is changed: a user of that name who is somebody else's would be mixed with ours, line by line.
find_manager() {
    local files=() theirs
    manager_file=$etc_dir/manager_bx24.conf
    clicks_file=$etc_dir/manager_bx24_clicks.conf
    manager_including=$etc_dir/manager.conf
    # FreePBX writes manager.conf anew, and never manager_custom.conf.
    if [[ -r $manager_including ]] && includes_file "$manager_including" manager_custom.conf; then
        manager_including=$etc_dir/manager_custom.conf
    fi
    check_includes manager_bx24.conf "$etc_dir/manager.conf"
    check_link "$manager_including"
    manager_including=$(readlink -m -- "$manager_including")
    mapfile -t files < <(files_with_includes "$manager_file" "$etc_dir/manager.conf")
    ((${#files[@]})) || return 0
    theirs=$(grep -HniE "^[[:space:]]*\[[[:space:]]*${manager_user}(-clicks)?[[:space:]]*\]" -- "${files[@]}") || return 0
    refuse 3 "there is a manager user [$manager_user] or [$manager_user-clicks] already, and it is not ours:" "$theirs" \
        "Asterisk would mix the two. Give yours another name, type: asterisk -rx 'manager reload'; then run install.sh again."
}

install_manager() {
    local owner=$asterisk_user:$asterisk_group
    render_manager manager_bx24.conf "$manager_file" >"$work/manager_bx24.conf"
    put_file "$work/manager_bx24.conf" "$manager_file" "$owner" 0640
    # A missing file after #include makes Asterisk refuse the whole of manager.conf, hence #tryinclude.
    put_block "$manager_including" "#tryinclude manager_bx24.conf" "$owner"
    install_clicks "$owner"
    [[ $etc_dir == /etc/asterisk || ! -e $config ]] || grep -q '^manager_file:' "$config" ||
        warn "write this line into $config: manager_file: $manager_file"
}

# The user who dials is there only while it is needed: whoever has its secret can make calls.
install_clicks() { # OWNER:GROUP
    local known
    if dials; then
        render_manager manager_bx24_clicks.conf "$clicks_file" >"$work/manager_bx24_clicks.conf"
        put_file "$work/manager_bx24_clicks.conf" "$clicks_file" "$1" 0640
    elif known=$(recorded file "$clicks_file"); then
        keep=no left=()
        remove_file "$known" "$clicks_file"
        ((${#left[@]} == 0)) || warn "clicks and callbacks are off: ${left[*]} is left in place"
    fi
}

# Whether the settings want anything dialled. Settings that can't be used do not.
dials() {
    [[ -x $program/venv/bin/python3 && -r $config ]] || return 1
    runuser -u "$asterisk_user" -- "$program/venv/bin/python3" -IB -c \
        'from freepbx_bx24.settings import load; raise SystemExit(not load().dials)' 2>/dev/null
}

# By the shell's own means: on the command line of another program everybody could read the secret.
render_manager() { # NAME FILE
    local text here
    text=$(<"$source_tree/etc/$1")
    text=${text//@SECRET@/$(manager_secret "$2")}
    text=${text//@EVENTFILTERS@/"$(event_filters)"}
    # Where the interface listens on one other address alone, that is the one we come from.
    here=$(manager_setting bindaddr '')
    if [[ $here =~ ^[0-9]+(\.[0-9]+){3}$ && $here != 0.0.0.0 && $here != 127.* ]]; then
        text=${text/permit = ::1\/128/permit = ::1/128$'\n'permit = $here/255.255.255.255}
    fi
    printf '%s\n' "$text"
}

# In the form that this Asterisk knows. The older form is a regular expression over the whole text of an event, which
# begins with its name: what follows holds what callers call themselves, so it must not be looked at. Newer versions
# take that as well, and older ones ignore the newer form without a word: so the older one wherever it is not certain.
event_filters() {
    local IFS='|'
    if filters_by_name "$(asterisk_version)"; then
        printf 'eventfilter(action(exclude),name(%s)) =\n' "${unread_events[@]}"
    else
        printf 'eventfilter = !^Event: (%s)[[:cntrl:]]\n' "${unread_events[*]}"
    fi
}

filters_by_name() { # VERSION, as 22.10
    [[ $1 =~ ^([0-9]{1,3})\.([0-9]{1,3})$ ]] || return 1
    local major=$((10#${BASH_REMATCH[1]})) minor=$((10#${BASH_REMATCH[2]}))
    ((major > 22)) || ((minor >= ${filters_by_name_since[major]:-1000}))
}

# Made once, then kept; also where the file was edited and a newer one has to be made beside it.
manager_secret() { # FILE
    local file key user=$manager_user
    [[ $1 != "$clicks_file" ]] || user=$manager_user-clicks
    for file in "$1" "$1.new"; do
        key=$(asterisk_conf=$file asterisk_setting "$user" secret '')
        if [[ $key =~ ^[0-9A-Za-z]{16,128}$ ]]; then
            printf '%s\n' "$key"
            return 0
        fi
    done
    od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'
}

manager_setting() { # NAME DEFAULT: of manager.conf's [general]
    asterisk_conf=$etc_dir/manager.conf asterisk_setting general "$1" "$2"
}

# Asterisk reads the files; then the user of the service logs in with what is in them.
verify_manager() {
    [[ $dry == no && $asterisk_up == yes ]] || return 0
    local problems code=0
    problems=$(manager_problems) || code=$?
    ((code)) || [[ $begun == yes ]] || return 0
    asterisk_says "manager reload" >/dev/null
    if ! manager_listens; then
        warn "Asterisk's manager interface is off, so the service can't watch who rings and who talks. It stays off" \
            "until you write these lines below [general] in $etc_dir/manager.conf:"
        printf '  enabled = yes\n  bindaddr = 127.0.0.1\n' >&2
        printf "and type: asterisk -rx 'manager reload'\n" >&2
        return 0
    fi
    code=0
    problems=$(manager_problems) || code=$?
    if ((code == 0)); then
        say "The user [$manager_user] logs in to Asterisk's manager interface."
        verify_clicks
    elif ((code == 2)); then
        # No fault of what was installed: Asterisk 16 so claims to listen after it was switched off and on by reloads.
        warn "Asterisk's manager interface is on but does not answer, so the service can't watch calls. If it was" \
            "switched off and on since Asterisk started, Asterisk must be restarted once:"
        printf '%s\n' "$problems" >&2
    elif [[ $(hash_of "$manager_file") != $(hash_of "$work/manager_bx24.conf") ]]; then
        warn "the user [$manager_user] of $manager_file, which was edited, does not do:"
        printf '%s\n' "$problems" >&2
    else
        refuse 1 "the new user [$manager_user] of Asterisk's manager interface does not do:" "$problems"
    fi
}

manager_listens() {
    grep -Eq '^ *Manager \(AMI\): +Yes' <<<"$(asterisk_says "manager show settings")"
}

# The user who dials, where there is to be one.
verify_clicks() {
    local problems
    [[ -e $clicks_file ]] && dials || return 0
    if problems=$(manager_problems "$clicks_file" dials); then
        say "The user [$manager_user-clicks] may dial for clicks and callbacks of the portal."
    else
        warn "clicks and callbacks can't be dialled:"
        printf '%s\n' "$problems" >&2
    fi
}

# With what is installed, as it will be used, and as the same user.
manager_problems() { # [FILE dials]
    (($#)) || set -- "$manager_file"
    timeout 40 runuser -u "$asterisk_user" -- "$program/venv/bin/python3" -IB -m freepbx_bx24.pbx.ami_probe "$@" 2>&1
}

reload_without_manager() {
    [[ $dry == no ]] && asterisk_runs || return 0
    asterisk_says "manager reload" >/dev/null
    ! grep -qx "$manager_user" <<<"$(asterisk_says "manager show users")" ||
        warn "Asterisk still has a manager user [$manager_user]; if it is none of yours, the log of Asterisk says why it stays"
}
