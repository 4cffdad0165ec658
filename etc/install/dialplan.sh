# shellcheck shell=bash
# Part of install.sh: the AGI scripts, the dialplan hooks, and the proof that Asterisk has loaded them.
# shellcheck disable=SC2034,SC2154

predial=macro-dialout-trunk-predial-hook

install_dialplan() {
    local script rendered=$work/extensions_bx24.conf
    for script in bx24_register.py bx24_finish.py; do
        put_file "$source_tree/agi-bin/$script" "$agi_dir/$script" root:root 0755
    done
    render_dialplan >"$rendered"
    put_file "$rendered" "$etc_dir/extensions_bx24.conf" "$asterisk_user:$asterisk_group" 0640
    put_block "$including" "#tryinclude extensions_bx24.conf" "$asterisk_user:$asterisk_group"
    tell_merge_hints
}

# FreePBX writes extensions.conf anew and never extensions_custom.conf; a plain Asterisk may not know the latter.
including_file() {
    if includes_file "$etc_dir/extensions.conf" extensions_custom.conf; then
        printf '%s\n' "$etc_dir/extensions_custom.conf"
    else
        printf '%s\n' "$etc_dir/extensions.conf"
    fi
}

# The files that hold the admin's own dialplan on FreePBX, with all that they include.
admin_files() {
    files_with_includes "$etc_dir/extensions_bx24.conf" "$etc_dir/extensions_override_freepbx.conf" \
        "$etc_dir/extensions_custom.conf"
}

files_with_includes() { # FILE-LEFT-OUT FILE...
    local left_out=$1 queue=("${@:2}") seen=' ' file name found
    while ((${#queue[@]})); do
        file=${queue[0]}
        queue=("${queue[@]:1}")
        [[ -f $file && $file != "$left_out" && $seen != *" $file "* ]] || continue
        seen+="$file "
        printf '%s\n' "$file"
        while read -r name; do
            [[ $name == /* ]] || name=$etc_dir/$name
            # shellcheck disable=SC2086  # Asterisk takes wildcards in an #include
            for found in $name; do queue+=("$found"); done
        done < <(sed -nE 's/^[[:space:]]*#(try)?include[[:space:]]+["<]?([^">;[:space:]]+).*/\2/p' "$file")
    done
}

# The lines that the admin has in a context, comments left out.
admin_lines() { # CONTEXT
    local files=()
    mapfile -t files < <(admin_files)
    ((${#files[@]})) || return 0
    awk -v header="[$1]" '
        FNR == 1 { inside = 0 }
        { sub(/^[ \t]+/, "") }
        /^\[/ { inside = index($0, header) == 1; next }
        inside && /^[a-zA-Z]/ { print }' "${files[@]}"
}

extension_names() {
    sed -nE 's/^exten[[:space:]]*=>?[[:space:]]*([^,]+),.*/\1/p' | sort -u
}

# extensions_bx24.conf for this PBX: without FreePBX's contexts on a plain Asterisk, without what the admin has defined
# himself (two definitions of one extension mix into garbage), and with the includes that [from-pstn] really has.
render_dialplan() {
    local without='' taken='' mirror=''
    if [[ $shape == plain ]]; then
        without="from-pstn bx24-pstn $predial"
    else
        [[ -z $(admin_lines "$predial" | extension_names) ]] || without=$predial
        taken=$(admin_lines from-pstn | extension_names | tr '\n' ' ')
        [[ $asterisk_up == no ]] || mirror=$(loaded_includes from-pstn | tr '\n' ' ')
    fi
    awk -v without="$without" -v taken="$taken" -v mirror="$mirror" '
        BEGIN {
            split_into(without, skipped)
            split_into(taken, theirs)
            count = split(mirror, includes, " ")
        }
        function split_into(text, set,   parts, n, i) {
            n = split(text, parts, " ")
            for (i = 1; i <= n; i++) set[parts[i]] = 1
        }
        /^\[/ { context = substr($0, 2, index($0, "]") - 2) }
        context in skipped { if (/^; ---/) context = ""; else next }
        context == "from-pstn" && /^exten =>/ {
            name = $0
            sub(/^exten => /, "", name)
            sub(/,.*/, "", name)
            dropping = name in theirs
        }
        context == "from-pstn" && dropping && !/^;/ && !/^$/ { next }
        context == "bx24-pstn" && count && /^include =>/ {
            for (i = 1; i <= count; i++) print "include => " includes[i]
            count = 0
            replaced = 1
            next
        }
        context == "bx24-pstn" && replaced && /^include =>/ { next }
        { print }' "$source_tree/etc/extensions_bx24.conf"
}

loaded_includes() { # CONTEXT
    asterisk_says "dialplan show $1" | sed -nE "s/^[[:space:]]*Include =>[[:space:]]*'([^']+)'.*/\1/p"
}

# What the admin must merge himself, because he has a definition of his own at one of our places.
tell_merge_hints() {
    local name lines
    if [[ $shape == plain ]]; then
        say "This is an Asterisk without FreePBX: add Gosub(bx24-in,...) and Gosub(bx24-out,...) to your dialplan" \
            "as the comment in $etc_dir/extensions_bx24.conf shows."
        return 0
    fi
    lines=$(admin_lines "$predial")
    if [[ -n $(extension_names <<<"$lines") && $lines != *bx24-out* ]]; then
        warn "you have a [$predial] of your own. It stays, and outbound calls will be seen when you add" \
            "this as its first step:   exten => s,1,Gosub(bx24-out,s,1)"
    fi
    lines=$(admin_lines from-pstn)
    if [[ $lines != *bx24-in* ]]; then
        for name in $(extension_names <<<"$lines"); do
            warn "you have an extension $name of your own in [from-pstn]. It stays, and calls to it will be seen when" \
                "you add this as its first step:   exten => $name,1,Gosub(bx24-in,s,1(\${EXTEN}))"
        done
    fi
}

# Asterisk reads the files, and then has to show that it has read them.
verify_dialplan() {
    [[ $dry == no ]] || return 0
    if [[ $asterisk_up == no ]]; then
        say "Asterisk is not running; it will load the hooks when it starts."
        return 0
    fi
    local problems
    problems=$(dialplan_problems)
    [[ -n $problems || $begun == yes ]] || return 0
    asterisk_says "dialplan reload" >/dev/null
    problems=$(dialplan_problems)
    [[ -z $problems ]] || refuse 1 "Asterisk did not load the hooks into its dialplan:" "$problems" \
        "Its own words are in its log, or on the console: asterisk -rx 'dialplan reload'"
    say "Asterisk has loaded the hooks."
}

dialplan_problems() {
    local file=$etc_dir/extensions_bx24.conf
    must_show bx24-in 'AGI(bx24_register.py'
    must_show bx24-out 'AGI(bx24_register.py'
    must_show bx24-hangup 'AGI(bx24_finish.py'
    [[ $shape == freepbx ]] || return 0
    ! grep -q "^\[$predial\]" "$file" || must_show "$predial" 'Gosub(bx24-out'
    ! grep -q '^exten => .*Goto(bx24-pstn' "$file" || must_show from-pstn 'Goto(bx24-pstn'
    [[ $(loaded_includes from-pstn) == "$(loaded_includes bx24-pstn)" ]] ||
        printf '  [bx24-pstn] does not lead where [from-pstn] leads\n'
}

must_show() { # CONTEXT TEXT
    grep -qF -- "$2" <<<"$(asterisk_says "dialplan show $1")" || printf '  [%s] has no %s)\n' "$1" "$2"
}
