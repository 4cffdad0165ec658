# shellcheck shell=bash
# Part of install.sh: the settings: a new YAML with this PBX's own id, and the answers given as options.
# shellcheck disable=SC2034,SC2154

check_settings() {
    local given=$webhook_url
    if [[ -n $given ]]; then
        # The URL is a secret: on the command line every user of this machine could read it, and the shell keeps it.
        [[ $given != *://* ]] || refuse 2 "--webhook-url: the URL is a secret and does not belong on the command line:" \
            "write -, then paste it, or the name of a file that holds it; and make a new webhook, this one has been seen"
        webhook_url=$(read_secret --webhook-url "$given" "the webhook's URL") || exit
        # It is not repeated in a message.
        is_webhook "$webhook_url" ||
            refuse 2 "--webhook-url: this is not https://PORTAL/rest/USER/SECRET/ (http is for 127.0.0.1, ::1 and localhost only)"
    fi
    check_application
    check_setting --country "$country" '^[A-Z]{2}$' "two capital letters, as RU"
    check_setting --default-person "$default_person" '^([0-9]{1,20}|user:[0-9]{1,20})$' "an extension, or user:ID"
    check_setting --default-line "$default_line" '^[+]?[0-9A-Za-z]{1,50}$' "a number, as +74957770000"
}

# The first line of standard input, which a person at a terminal is asked for and does not see, or of a file.
read_secret() { # OPTION -|FILE WHAT
    local line=''
    if [[ $2 != - ]]; then
        [[ -f $2 && -r $2 ]] || refuse 2 "$1: no file $2 can be read; allowed: a file, or - for standard input"
        IFS= read -r line <"$2" || [[ -n $line ]] || refuse 2 "$1: $2 is empty"
    elif [[ -t 0 ]]; then
        printf 'Paste %s (it is not shown) and press Enter: ' "$3" >&2
        IFS= read -rs line || true
        printf '\n' >&2
        [[ -n $line ]] || refuse 2 "$1 -: nothing was typed"
    else
        IFS= read -r line || [[ -n $line ]] || refuse 2 "$1 -: there is no line on standard input"
    fi
    printf '%s' "${line%$'\r'}"
}

check_application() {
    [[ -z $webhook_url || -z $portal_url$client_id$client_secret_file ]] ||
        refuse 2 "--webhook-url is another way into the portal than --portal-url, --client-id and --client-secret-file: give one"
    [[ -n $portal_url || -z $client_id ]] || refuse 2 "--client-id goes with --portal-url"
    [[ -n $client_id || -z $portal_url ]] || refuse 2 "--portal-url goes with --client-id"
    if [[ -n $portal_url ]] && ! is_portal "$portal_url"; then
        # It may be a webhook's URL, which is a secret: it is not repeated.
        refuse 2 "--portal-url: this is not https://PORTAL without anything behind it (http is for 127.0.0.1, ::1 and localhost only)"
    fi
    check_setting --client-id "$client_id" '^[A-Za-z0-9._-]{1,100}$' "the application's client_id, as local.0123456789abcd.01234567"
    if [[ -n $client_secret_file ]]; then
        read_client_secret
    elif [[ -n $portal_url && ! -s $secret ]]; then
        refuse 2 "--portal-url and --client-id need --client-secret-file, too (-: type or paste the secret)"
    fi
}

# Neither the command line nor a message ever holds the secret.
read_client_secret() {
    client_secret=$(read_secret --client-secret-file "$client_secret_file" "the application's client_secret") || exit
    [[ $client_secret =~ ^[[:graph:]]{8,500}$ && $client_secret != *://* ]] ||
        refuse 2 "--client-secret-file: this line is no client_secret: one word of 8 characters or more"
}

is_portal() { # URL
    local anywhere='^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?$'
    local here='^http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?$'
    [[ $1 =~ $anywhere || $1 =~ $here ]]
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
    put_secret "$webhook" "$webhook_url" "$owner"
    put_secret "$secret" "$client_secret" "$owner"
    if [[ ! -e $config ]]; then
        sed -E "s/^pbx_id:.*/pbx_id: $(new_pbx_id)/" "$source_tree/etc/freepbx_bx24.yaml" >"$rendered"
        answer_settings "$rendered"
        lead_to_manager_file "$rendered"
        if change "write $config"; then write_file "$rendered" "$config" "$owner" 0640; fi
        record file "$(hash_of "$rendered")" "$config"
        return 0
    fi
    now=$(hash_of "$config")
    if [[ -z $country$default_person$default_line$webhook_url$portal_url ]]; then
        keep_settings_record "$config"
    elif [[ $now != "$(recorded file "$config")" ]]; then
        keep_settings_record "$config"
        warn_of_answers
    else
        cp -- "$config" "$rendered"
        answer_settings "$rendered"
        if ! cmp -s "$rendered" "$config" && change "write your answers into $config"; then
            write_file "$rendered" "$config" "$owner" 0640
        fi
        record file "$(hash_of "$rendered")" "$config"
    fi
}

# What was answered and does not stand in settings that somebody has edited.
warn_of_answers() {
    local line missing=() answers=()
    [[ -z $country ]] || answers+=("country: $country")
    [[ -z $default_person ]] || answers+=("default_person: $default_person")
    [[ -z $default_line ]] || answers+=("default_line: \"$default_line\"")
    [[ -z $webhook_url ]] || answers+=("  webhook_file: $webhook")
    [[ -z $portal_url ]] || answers+=("  url: $portal_url" "  client_id: $client_id" "  client_secret_file: $secret")
    for line in "${answers[@]}"; do
        grep -qxF -- "$line" "$config" || missing+=("$line")
    done
    ((${#missing[@]})) || return 0
    warn "$config was edited and stays as it is; check these lines in it (the indented ones are members of portal:):"
    printf '  %s\n' "${missing[@]}" >&2
}

# Given as an option, so wanted: it replaces what is there.
put_secret() { # FILE LINE OWNER:GROUP
    if [[ -z $2 ]]; then
        keep_settings_record "$1"
        return 0
    fi
    printf '%s\n' "$2" >"$work/line"
    if [[ ! -e $1 ]] || ! cmp -s "$work/line" "$1"; then
        if change "write $1"; then write_file "$work/line" "$1" "$3" 0640; fi
    fi
    record file "$(hash_of "$work/line")" "$1"
}

# Part of each call's identity in the CRM: made once, then kept.
new_pbx_id() {
    printf 'pbx-%s\n' "$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')"
}

answer_settings() { # FILE
    [[ -z $country ]] || set_line "$1" country "$country"
    [[ -z $default_person ]] || set_line "$1" default_person "$default_person"
    [[ -z $default_line ]] || set_line "$1" default_line "\"$default_line\""
    # Exactly one way into the portal: the other one becomes a comment.
    if [[ -n $webhook_url ]]; then
        set_portal_line "$1" webhook_file "$webhook"
        leave_portal_line "$1" url client_id client_secret_file
    elif [[ -n $portal_url ]]; then
        set_portal_line "$1" client_secret_file "$secret"
        set_portal_line "$1" client_id "$client_id"
        set_portal_line "$1" url "$portal_url"
        leave_portal_line "$1" webhook_file
    fi
}

# Asterisk's files may stand elsewhere than usual.
lead_to_manager_file() { # FILE
    [[ $etc_dir == /etc/asterisk ]] || sed -i "s|^#manager_file:.*|manager_file: $etc_dir/manager_bx24.conf|" "$1"
}

# The values are of checked alphabets: nothing in them means anything to sed or YAML.
set_line() { # FILE NAME VALUE
    grep -Eq "^#?$2:" "$1" || refuse 1 "$config has no line '$2:'"
    sed -i -E "s/^#?$2:.*/$2: $3/" "$1"
}

# The same for the members of portal:, which a file of an earlier version may not have at all.
set_portal_line() { # FILE NAME VALUE
    if grep -Eq "^  #?$2:" "$1"; then
        sed -i -E "/^portal:/,/^[^ #]/ s|^  #?$2:.*|  $2: $3|" "$1"
    else
        sed -i -E "s|^portal:[ ]*$|&\n  $2: $3|" "$1"
    fi
    grep -Eq "^  $2: " "$1" || refuse 1 "$config has no group 'portal:' of lines; write there: $2: $3"
}

leave_portal_line() { # FILE NAME...
    local file=$1 name
    shift
    for name in "$@"; do sed -i -E "/^portal:/,/^[^ #]/ s|^  $name:|  #$name:|" "$file"; done
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
    if [[ -e $secret ]]; then
        [[ -e $state/token.json ]] || printf '\nLet the local application into the portal:  sudo bx24 login\n'
    elif [[ ! -e $webhook ]]; then
        printf '\nMake a local application in the portal (docs/portal.md), then:\n  %s\nOr, to begin quickly, an inbound webhook (rights telephony, user, crm):\n  %s\n' \
            "sudo ./install.sh --portal-url URL --client-id ID --client-secret-file -      (then type or paste the secret)" \
            "sudo ./install.sh --webhook-url -      (then type or paste it)"
    fi
    [[ -z $todo ]] || printf '\nWrite your own values into these lines of %s:\n%s\n' "$config" "  line ${todo//$'\n'/$'\n  line '}"
    printf '\nThen, and whenever something seems wrong:  bx24 check\n'
    systemd_runs || printf 'There is no systemd here; let what starts Asterisk at boot start this too (it stays in the foreground):\n  %s\n' \
        "runuser -u $asterisk_user -- $program/venv/bin/bx24 serve --supervised"
}
