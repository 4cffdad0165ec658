# shellcheck shell=bash
# Part of install.sh: the folders that the service writes to, its unit, its log's rotation, and its start.
# shellcheck disable=SC2034,SC2154

systemd_runs() {
    [[ -d /run/systemd/system ]]
}

install_service_files() {
    local owner=$asterisk_user:$asterisk_group file target
    put_dir "$state" "$owner" 0750
    put_dir "$state/intake" "$owner" 0750
    put_dir "$runtime" "$owner" 0750
    for target in "$unit" "$rotation" "$tmpfiles"; do
        case $target in
            "$unit") file=freepbx-bx24.service ;;
            "$rotation") file=freepbx-bx24.logrotate ;;
            *) file=freepbx-bx24.tmpfiles ;;
        esac
        put_for_user "$source_tree/etc/$file" "$target"
    done
}

# The files name the usual user; here they get the one that this Asterisk runs as.
put_for_user() { # SOURCE TARGET
    local rendered=$work/${2##*/}
    sed -E "s/^(User=)asterisk$/\1$asterisk_user/; s/^(Group=)asterisk$/\1$asterisk_group/
        s/( )asterisk asterisk( -)?$/\1$asterisk_user $asterisk_group\2/" "$1" >"$rendered"
    put_file "$rendered" "$2" root:root 0644
}

# Without systemd: the process of `bx24 serve --supervised`, where one runs. It holds a lock on the file with its number:
# a number that a killed one has left there is nobody's.
supervisor_process() {
    local file=$runtime/supervisor.pid
    [[ -f $file && ! -L $file ]] && ! flock --nonblock "$file" true && cat -- "$file"
}

start_service() {
    if ! systemd_runs; then
        # The programs that it started from are replaced: what it runs is still the old version.
        [[ $dry == yes || $begun == no ]] || ! supervisor_process >/dev/null ||
            say "The service still runs the former version; to restart it: kill $(supervisor_process), then start it again as told below"
        return 0
    fi
    [[ $dry == no ]] || return 0
    if ! systemctl is-enabled --quiet freepbx-bx24.service; then
        change "enable and start freepbx-bx24.service"
        undo_line service - freepbx-bx24.service
        systemctl daemon-reload
        run systemctl enable --now freepbx-bx24.service
    elif [[ $begun == yes ]] || ! systemctl is-active --quiet freepbx-bx24.service; then
        change "restart freepbx-bx24.service"
        systemctl daemon-reload
        run systemctl restart freepbx-bx24.service
    fi
}

stop_supervisor() {
    local process round
    process=$(supervisor_process) || return 0
    change "stop bx24 serve --supervised, process $process" || return 0
    kill -TERM "$process" || true
    for ((round = 0; round < 300; round++)); do
        supervisor_process >/dev/null || return 0
        sleep 0.1
    done
    refuse 1 "process $process (bx24 serve --supervised) does not end"
}

stop_service() {
    if ! systemd_runs; then
        stop_supervisor
        return
    fi
    [[ -e $unit ]] || return 0
    if change "stop and disable freepbx-bx24.service"; then
        undo_line enable - freepbx-bx24.service
        run systemctl disable --now freepbx-bx24.service
    fi
}
