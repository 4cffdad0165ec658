#!/usr/bin/env bash
# Installs freepbx_bx24 (Asterisk and FreePBX calls in Bitrix24 CRM) on this machine, brings it up to date, or removes
# it. `./install.sh --help` tells the options. What is there is kept before it is changed; on any failure or signal all
# of it is put back, and what an interrupted run (kill -9, power cut) left is put back by the next run.
#
# Exit codes:
#   0    done, or nothing to do
#   1    failed; everything that this run had changed was put back
#   2    an option is unknown, or its value is wrong
#   3    something that must be there is missing (root, Asterisk, Python 3.9, a module); nothing was changed
#   4    failed, and not everything could be put back: the messages say what
#   129, 130, 143   ended by a signal; everything was put back
# Its parts are sourced from etc/install/ and share its variables.
# shellcheck disable=SC2034,SC2154
set -Eeuo pipefail

source_tree=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
program=/opt/freepbx-bx24
state=/var/lib/freepbx-bx24
runtime=/run/freepbx-bx24
config=/etc/freepbx_bx24.yaml
webhook=/etc/freepbx_bx24.webhook
secret=/etc/freepbx_bx24.secret
unit=/etc/systemd/system/freepbx-bx24.service
rotation=/etc/logrotate.d/freepbx-bx24
tmpfiles=/etc/tmpfiles.d/freepbx-bx24.conf
command_link=/usr/local/bin/bx24
log=/var/log/freepbx-bx24-install.log
asterisk_conf=/etc/asterisk/asterisk.conf

for part in keeper checkpoint files asterisk python program admins dialplan manager config service owed uninstall demo; do
    # shellcheck disable=SC1090  # each part is checked on its own
    . "$source_tree/etc/install/$part.sh"
done

help() {
    cat <<'TEXT'
Usage: sudo ./install.sh [OPTION...]

Without options: installs freepbx_bx24 beside the Asterisk or FreePBX of this machine, or brings it up to date.
A second run changes nothing; files that you have edited are never overwritten.

Settings, written into a new (or still unedited) /etc/freepbx_bx24.yaml:
  --portal-url URL         the portal, with a local application (docs/portal.md), the way that can do everything:
  --client-id ID             its client_id,
  --client-secret-file -|FILE
                             and its client_secret: the first line of standard input or of a file
  --webhook-url -|FILE     or the portal's incoming webhook, the quick start: the first line of standard input or
                           of a file
  --country CODE           country of the numbers, two letters, as RU
  --default-person PERSON  extension, or user:ID, who owns what nobody else owns
  --default-line NUMBER    line of calls to numbers that are not listed

  --python PATH            a Python from 3.9 to 3.14 (else: the one used before, then those on PATH)
  --wheels DIR             take the Python packages from this folder, not from the Internet; to fill it, on a machine
                           with the same Python version and processor:
                             python3 -m pip download --require-hashes -r requirements.lock -d DIR

  --dry-run                say what would be done, and change nothing
  --uninstall              remove everything; edited settings and kept calls stay. Waits while the CRM is owed calls
  --uninstall --force      remove it although the CRM is still owed calls
  --uninstall --purge      remove edited settings and kept calls as well
  --demo [--once|--remove] set up a sandbox (not beside a running Asterisk) and place five calls in it
  --demo --listen ADDRESS  the same, and its page for other machines, too
  --help                   this text
TEXT
}

say() {
    printf '%s\n' "$*"
    note "$*"
}

warn() {
    printf 'Warning: %s\n' "$*" >&2
    note "Warning: $*"
}

# Into the log, once this run has changed something; a run that changes nothing leaves no trace.
note() {
    [[ $logging == no ]] || printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$log"
}

refuse() { # CODE TEXT...
    local code=$1
    shift
    printf 'install.sh: %s\n' "$@" >&2
    note "refused: $*"
    exit "$code"
}

# A long command: what it says goes to the terminal and into the log.
run() {
    if [[ $logging == yes ]]; then "$@" 2>&1 | tee -a "$log"; else "$@"; fi
}

# Said before each change: true when it is to be made now, false in a dry run.
change() {
    changes=$((changes + 1))
    if [[ $dry == yes ]]; then
        printf 'would %s\n' "$*"
        return 1
    fi
    begin_changes
    say "$*"
}

read_options() {
    local option value
    while (($#)); do
        option=$1
        shift
        case $option in
            --listen | --webhook-url | --portal-url | --client-id | --client-secret-file | --country | --default-person | \
                --default-line | --python | --wheels)
                (($#)) || refuse 2 "$option needs a value; see --help"
                value=$1
                shift
                ;;&
            --webhook-url) webhook_url=$value ;;
            --portal-url) portal_url=${value%/} ;;
            --client-id) client_id=$value ;;
            --client-secret-file) client_secret_file=$value ;;
            --country) country=$value ;;
            --default-person) default_person=$value ;;
            --default-line) default_line=$value ;;
            --python) python_wanted=$value ;;
            --wheels) wheels=$value ;;
            --dry-run) dry=yes ;;
            --uninstall) action=uninstall ;;
            --purge) purge=yes ;;
            --force) force=yes ;;
            --demo) action=demo ;;
            --listen) demo_listen=(--listen "$value") ;;
            --once | --remove) demo_options+=("$option") ;;
            --help) action=help ;;
            *) refuse 2 "there is no option $option; see --help" ;;
        esac
    done
    [[ $purge == no || $action == uninstall ]] || refuse 2 "--purge goes with --uninstall only"
    [[ $force == no || $action == uninstall ]] || refuse 2 "--force goes with --uninstall only"
    ((${#demo_options[@]} == 0)) || [[ $action == demo ]] || refuse 2 "${demo_options[0]} goes with --demo only"
    ((${#demo_listen[@]} == 0)) || [[ $action == demo && ${#demo_options[@]} == 0 ]] || refuse 2 "--listen goes with --demo alone"
    ((${#demo_options[@]} < 2)) || refuse 2 "--demo takes --once or --remove, not both"
    [[ $dry == no || $action != demo ]] || refuse 2 "--demo has no dry run"
    check_places
    check_settings
}

# Given as they are seen from where the command was typed; what follows is done in /.
check_places() {
    if [[ -n $python_wanted ]]; then python_wanted=$(from_here "$python_wanted"); fi
    if [[ -n $wheels ]]; then
        wheels=$(from_here "$wheels")
        [[ -d $wheels ]] || refuse 2 "--wheels: there is no folder $wheels"
    fi
    if [[ $client_secret_file == ?* && $client_secret_file != - ]]; then client_secret_file=$(from_here "$client_secret_file"); fi
    if [[ $webhook_url == ?* && $webhook_url != - && $webhook_url != *://* ]]; then webhook_url=$(from_here "$webhook_url"); fi
}

from_here() { # PATH
    case $1 in
        /*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$called_from/$1" ;;
    esac
}

start_values() {
    action=install dry=no purge=no force=no begun=no logging=no changes=0 shape=plain
    webhook_url='' portal_url='' client_id='' client_secret_file='' client_secret='' country='' default_person='' default_line=''
    python_wanted='' wheels='' called_from=$PWD here=''
    demo_options=() demo_listen=() records=()
}

report_error() { # LINE COMMAND
    # A failing command inside $(...) is reported once, by the shell that waits for it.
    ((BASH_SUBSHELL == 0)) && printf 'install.sh: line %s failed: %s\n' "$1" "$2" >&2
    exit 1
}

on_exit() {
    local code=$?
    trap - EXIT ERR
    trap '' INT TERM HUP
    rm -rf -- "$work"
    if [[ $begun == yes && -e $checkpoint/undo ]]; then
        say "Not finished; everything that was changed is put back:"
        if put_back; then
            say "Your system is as it was before. What happened is in $log"
        else
            code=4
        fi
    fi
    exit "$code"
}

install_all() {
    find_asterisk
    find_manager
    find_python
    say_what_is_here
    install_program
    install_config
    install_service_files
    install_dialplan
    install_manager
    verify_program
    verify_dialplan
    verify_hooks
    verify_manager
    start_service
    finish_changes
    say_what_is_next
}

main() {
    # Sourced (by tests, to call one function): nothing is done.
    [[ ${BASH_SOURCE[0]} == "$0" ]] || return 0
    # What sudo, su or a login shell left in the environment must not decide which programs run or what they may write.
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export PATH LC_ALL=C PYTHONDONTWRITEBYTECODE=1
    unset PYTHONPATH PYTHONHOME
    umask 022
    cd /
    read_options "$@"
    if [[ $action == help ]]; then
        help
        return 0
    fi
    ((EUID == 0)) || refuse 3 "must be run by root: sudo ./install.sh"
    if [[ $action == demo ]]; then
        demo
        return 0
    fi
    hold_lock
    work=$(mktemp -d /tmp/bx24-install.XXXXXX)
    trap 'report_error "$LINENO" "$BASH_COMMAND"' ERR
    trap on_exit EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    put_back_cut_off_run
    "${action}_all"
}

start_values
main "$@"
