# shellcheck shell=bash
# Part of install.sh: the settings: a new YAML with this PBX's own id, and the answers given as options.
# shellcheck disable=SC2034,SC2154

check_settings() {
    if [[ $webhook_url == - ]]; then
        IFS= read -r webhook_url || [[ -n $webhook_url ]] || refuse 2 "--webhook-url -: there is no line on standard input"
    fi
    # The URL is a secret: it is not repeated in a message.
    [[ -z $webhook_url ]] || is_webhook "$webhook_url" ||
        refuse 2 "--webhook-url: this is not https://PORTAL/rest/USER/SECRET/ (http is for 127.0.0.1, ::1 and localhost only)"
    check_setting --country "$country" '^[A-Z]{2}$' "two capital letters, as RU"
    check_setting --default-person "$default_person" '^([0-9]{1,20}|user:[0-9]{1,20})$' "an extension, or user:ID"
    check_setting --default-line "$default_line" '^[+]?[0-9A-Za-z]{1,50}$' "a number, as +74957770000"
}

check_setting() { # OPTION VALUE PATTERN ALLOWED
    [[ -z $2 || $2 =~ $3 ]] || refuse 2 "$1: found '$2', allowed: $4"
}

is_webhook() { # URL
    local secret='(/[A-Za-z0-9._~-]+)*/rest/[0-9]+/[A-Za-z0-9]+/?$'
    local anywhere='^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?'
    local here='^http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?'
    [[ $1 =~ $anywhere$secret || $1 =~ $here$secret ]]
}

install_config() {
    local rendered=$work/config owner="root:$asterisk_group" now
    if [[ -n $webhook_url ]]; then
        printf '%s\n' "$webhook_url" >"$work/webhook"
        put_secret "$work/webhook" "$owner"
    else
        keep_settings_record "$webhook"
    fi
    if [[ ! -e $config ]]; then
        sed -E "s/^pbx_id:.*/pbx_id: $(new_pbx_id)/" "$source_tree/etc/freepbx_bx24.yaml" >"$rendered"
        answer_settings "$rendered"
        if change "write $config"; then write_file "$rendered" "$config" "$owner" 0640; fi
        record file "$(hash_of "$rendered")" "$config"
        return 0
    fi
    now=$(hash_of "$config")
    if [[ -z $country$default_person$default_line ]]; then
        keep_settings_record "$config"
    elif [[ $now != "$(recorded file "$config")" ]]; then
        keep_settings_record "$config"
        warn "$config was edited and stays as it is; check these lines in it:"
        printf '  %s\n' ${country:+"country: $country"} ${default_person:+"default_person: $default_person"} \
            ${default_line:+"default_line: \"$default_line\""} >&2
    else
        cp -- "$config" "$rendered"
        answer_settings "$rendered"
        if ! cmp -s "$rendered" "$config" && change "write your answers into $config"; then
            write_file "$rendered" "$config" "$owner" 0640
        fi
        record file "$(hash_of "$rendered")" "$config"
    fi
}

# Given as an option, so wanted: it replaces what is there.
put_secret() { # SOURCE OWNER:GROUP
    if [[ ! -e $webhook ]] || ! cmp -s "$1" "$webhook"; then
        if change "write $webhook"; then write_file "$1" "$webhook" "$2" 0640; fi
    fi
    record file "$(hash_of "$1")" "$webhook"
}

# Part of each call's identity in the CRM: made once, then kept.
new_pbx_id() {
    printf 'pbx-%s\n' "$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')"
}

answer_settings() { # FILE
    [[ -z $country ]] || set_line "$1" country "$country"
    [[ -z $default_person ]] || set_line "$1" default_person "$default_person"
    [[ -z $default_line ]] || set_line "$1" default_line "\"$default_line\""
}

# The values are of checked alphabets: nothing in them means anything to sed or YAML.
set_line() { # FILE NAME VALUE
    grep -Eq "^#?$2:" "$1" || refuse 1 "$config has no line '$2:'"
    sed -i -E "s/^#?$2:.*/$2: $3/" "$1"
}

say_what_is_next() {
    local todo
    if ((changes == 0)); then
        say "Nothing to change: everything is as it should be."
    elif [[ $dry == yes ]]; then
        printf 'Nothing was changed (--dry-run).\n'
        return 0
    else
        say "Installed. What was done is in $log"
    fi
    todo=$(grep -nE '^[^#]*PUT_[A-Z_]+_HERE' "$config") || todo=
    [[ -e $webhook ]] || printf '\nPut the URL of the portal'\''s inbound webhook (rights telephony, user, crm) in place:\n  %s\n' \
        "sudo ./install.sh --webhook-url -      (then type or paste it)"
    [[ -z $todo ]] || printf '\nWrite your own values into these lines of %s:\n%s\n' "$config" "  line ${todo//$'\n'/$'\n  line '}"
    printf '\nThen, and whenever something seems wrong:  bx24 check\n'
    systemd_runs || printf 'There is no systemd here; start the service with:  runuser -u %s -- %s serve\n' "$asterisk_user" "$program/venv/bin/bx24"
}
