# shellcheck shell=bash
# Part of install.sh: the Asterisk of this machine: its directories, its user, its console, what it can do.
# shellcheck disable=SC2034,SC2154

# What extensions_bx24.conf calls. Without one of them a call would end there ("No application 'Gosub'").
needed_modules=(
    application:AGI:res_agi application:Gosub:app_stack application:ExecIf:app_exec function:LOCAL:app_stack
    function:FILTER:func_strings function:LEN:func_strings function:REPLACE:func_strings function:DB:func_db
    function:CHANNEL:func_channel function:DIALPLAN_EXISTS:func_dialplan function:CALLERID:func_callerid
    application:Dial:app_dial function:EXTENSION_STATE:func_extstate function:DEVICE_STATE:func_devstate
)

# A setting of asterisk.conf. Debian marks [directories] as a template, (!), with the compiled-in values in it.
asterisk_setting() { # SECTION NAME DEFAULT
    local value=
    if [[ -r $asterisk_conf ]]; then
        value=$(awk -v section="[$1]" -v name="$2" '
            { sub(/;.*/, "") }
            /^[ \t]*\[/ { inside = index($0, section) > 0; next }
            inside && match($0, /=>?/) {
                key = substr($0, 1, RSTART - 1)
                value = substr($0, RSTART + RLENGTH)
                gsub(/^[ \t]+|[ \t\r]+$/, "", key)
                gsub(/^[ \t]+|[ \t\r]+$/, "", value)
                if (key == name) found = value
            }
            END { print found }' "$asterisk_conf")
    fi
    printf '%s\n' "${value:-$3}"
}

asterisk_says() { # CONSOLE COMMAND
    timeout 20 asterisk -rx "$1"
}

asterisk_runs() {
    [[ -n $(type -P asterisk) ]] && asterisk_says "core show version" >/dev/null 2>&1
}

# As 22.10, of the Asterisk that runs, else of the program; empty where it says something else (certified, own builds).
asterisk_version() {
    local said
    if [[ $asterisk_up == yes ]]; then
        said=$(asterisk_says "core show version") || said=
    else
        said=$(timeout 20 asterisk -V) || said=
    fi
    [[ ! $said =~ ^Asterisk\ ([0-9]+\.[0-9]+) ]] || printf '%s\n' "${BASH_REMATCH[1]}"
}

# The user who owns the running process; /proc/PID itself may belong to root after Asterisk has given up its rights.
running_user() {
    local pid
    pid=$(cat -- "$(asterisk_setting directories astrundir /var/run/asterisk)/asterisk.pid" 2>/dev/null) || return 0
    [[ -r /proc/$pid/status ]] || return 0
    id -nu -- "$(awk '/^Uid:/ { print $3 }' "/proc/$pid/status")"
}

find_asterisk() {
    [[ -n $(type -P asterisk) ]] || refuse 3 "there is no Asterisk on this machine (to try freepbx_bx24 without one: --demo)"
    etc_dir=$(asterisk_setting directories astetcdir /etc/asterisk)
    agi_dir=$(asterisk_setting directories astagidir /var/lib/asterisk/agi-bin)
    [[ -r $etc_dir/extensions.conf ]] || refuse 3 "there is no $etc_dir/extensions.conf: this Asterisk has no dialplan to hook into"
    asterisk_user=$(asterisk_setting options runuser "")
    [[ -n $asterisk_user ]] || asterisk_user=$(running_user)
    asterisk_user=${asterisk_user:-asterisk}
    id -u -- "$asterisk_user" >/dev/null || refuse 3 "there is no user $asterisk_user, whom Asterisk should run as"
    asterisk_group=$(asterisk_setting options rungroup "$(id -gn -- "$asterisk_user")")
    # FreePBX's extensions.conf, and nobody else's, includes what FreePBX generates.
    shape=plain
    ! includes_file "$etc_dir/extensions.conf" extensions_additional.conf || shape=freepbx
    check_includes extensions_bx24.conf "$etc_dir/extensions.conf"
    including=$(including_file)
    check_link "$including"
    including=$(readlink -m -- "$including")
    if asterisk_runs; then
        asterisk_up=yes
        check_modules
    else
        asterisk_up=no
    fi
}

# Read, not asked for: fwconsole is a program that Asterisk's user may change, and we are root.
freepbx_version() {
    local web
    web=$(sed -nE 's/^[[:space:]]*AMPWEBROOT[[:space:]]*=[[:space:]]*//p' /etc/amportal.conf 2>/dev/null | head -n 1)
    sed -nE 's|.*<version>([0-9]+(\.[0-9]+)*)</version>.*|\1|p' "${web:-/var/www/html}/admin/modules/framework/module.xml" \
        2>/dev/null | head -n 1
}

# What was found out, so that nobody has to be asked.
say_what_is_here() {
    local pbx="Asterisk without FreePBX" version
    if [[ $shape == freepbx ]]; then
        version=$(freepbx_version) || version=
        pbx="FreePBX${version:+ $version}"
        [[ -z $version || $version =~ ^1[567](\.|$) ]] ||
            warn "this is FreePBX $version; freepbx_bx24 is made for 15, 16 and 17"
    fi
    version=$(asterisk_version) || version=
    here="$pbx, Asterisk${version:+ $version} ($([[ $asterisk_up == yes ]] && echo running || echo 'not running')) as $asterisk_user"
    here+=", $etc_dir, $agi_dir, $python, $(systemd_runs && echo systemd || echo 'no systemd')"
    printf 'Found: %s\n' "$here"
}

includes_file() { # FILE NAME
    grep -Eq "^[[:space:]]*#(try)?include[[:space:]]+[\"<]?([^\"]*/)?$2[\">]?[[:space:]]*(;.*)?$" "$1"
}

# Lines by which somebody else brings our file in: written by hand, or ours with its marks taken away. `#tryinclude` does
# what ours would do. `#include` would make Asterisk refuse everything as soon as the file is gone.
foreign_includes() { # NAME FILE...
    local name=$1
    shift
    (($#)) || return 0
    awk -v name="$name" -v begin="$block_begin" '
        FNR == 1 { ours = 0 }
        index($0, begin) == 1 { ours = 1; next }
        !ours && match($0, /^[ \t]*#(try)?include[ \t]+/) {
            file = substr($0, RLENGTH + 1)
            gsub(/^["<]|[">]?[ \t\r]*(;.*)?$/, "", file)
            sub(/.*\//, "", file)
            if (file == name) print FILENAME ":" FNR ": " $0
        }
        { ours = 0 }' "$@"
}

check_includes() { # NAME FIRST-FILE
    local files=() found
    mapfile -t files < <(files_with_includes "$etc_dir/$1" "$2")
    found=$(foreign_includes "$1" ${files[@]+"${files[@]}"} | tr -d '\r')
    ! grep -qE ':[[:space:]]*#include' <<<"$found" ||
        refuse 3 "a line that install.sh did not write brings in its file $1; take it out, it writes its own:" "$found"
}

check_modules() {
    local entry kind name module missing=()
    for entry in "${needed_modules[@]}"; do
        IFS=: read -r kind name module <<<"$entry"
        grep -qi "info about" <<<"$(asterisk_says "core show $kind $name")" || missing+=("$module.so (for $name)")
    done
    ((${#missing[@]} == 0)) || refuse 3 "Asterisk has not loaded what the dialplan needs: ${missing[*]}" \
        "load it (asterisk -rx 'module load NAME', and a load line in modules.conf), then run install.sh again"
}
