# shellcheck shell=bash
# Part of install.sh: the AGI scripts, the dialplan hooks, and the proof that Asterisk has loaded them.
# shellcheck disable=SC2034,SC2154

predial=macro-dialout-trunk-predial-hook

install_dialplan() {
    local script rendered=$work/extensions_bx24.conf
    for script in bx24_register.py bx24_finish.py; do
        put_file "$source_tree/agi-bin/$script" "$agi_dir/$script" root:root 0755
    done
    render_dialplan | lead_the_test_channel >"$rendered"
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

our_lines() { # CONTEXT, of the file as it is shipped
    awk -v header="[$1]" '/^\[/ { inside = index($0, header) == 1; next } inside' "$source_tree/etc/extensions_bx24.conf"
}

# FreePBX's empty hooks that we fill: every context of ours without bx24- in its name, but for the way in.
our_hooks() {
    sed -nE 's/^\[([^]]+)\].*/\1/p' "$source_tree/etc/extensions_bx24.conf" | grep -Ev '^(bx24-.*|from-pstn)$' | sort -u
}

# extensions_bx24.conf for this PBX: without FreePBX's contexts on a plain Asterisk, without what the admin has defined
# himself (two definitions of one extension mix into garbage), with the ways that [from-pstn] really has, and with the
# numbers of its emergency routes.
render_dialplan() {
    local without='' taken='' mirror='' emergency='' name
    if [[ $shape == plain ]]; then
        without="from-pstn bx24-pstn $(our_hooks | tr '\n' ' ')"
    else
        for name in $(our_hooks); do
            ! is_theirs "$name" || without+=" $name"
        done
        while read -r name; do
            taken+="$name "
            ! is_wide "$name" || taken+="$(our_lines from-pstn | extension_names | tr '\n' ' ')"
        done < <(admin_lines from-pstn | extension_names)
        mirror=$(ways_on)
        emergency=$(emergency_lines)
    fi
    MIRROR=$mirror EMERGENCY=$emergency awk -v without="$without" -v taken="$taken" '
        BEGIN {
            split_into(without, skipped)
            split_into(taken, theirs)
            mirror = ENVIRON["MIRROR"]
            emergency = ENVIRON["EMERGENCY"]
        }
        function split_into(text, set,   parts, n, i) {
            n = split(text, parts, " ")
            for (i = 1; i <= n; i++) set[parts[i]] = 1
        }
        function end_of_emergency() {
            if (context == "bx24-emergency" && emergency != "") {
                print emergency
                emergency = ""
            }
        }
        /^\[/ {
            end_of_emergency()
            context = substr($0, 2, index($0, "]") - 2)
        }
        /^$/ { end_of_emergency() }
        context in skipped { if (/^; ---/) context = ""; else next }
        context == "from-pstn" && /^exten =>/ {
            name = $0
            sub(/^exten => /, "", name)
            sub(/,.*/, "", name)
            dropping = name in theirs
        }
        context == "from-pstn" && dropping && !/^;/ && !/^$/ { next }
        context == "bx24-pstn" && mirror != "" && /^include =>/ {
            if (!mirrored++) print mirror
            next
        }
        { print }
        END { end_of_emergency() }' "$source_tree/etc/extensions_bx24.conf"
}

# The proof goes through a hook where it is ours. Where the admin has his own there, a test channel has no business in it:
# then it goes straight to what his has to call.
lead_the_test_channel() { # <DIALPLAN
    local text
    text=$(cat)
    grep -qF 'exten => _[a-zA-Z].,1,Gosub(bx24-in' <<<"$text" ||
        text=${text/'Goto(from-pstn,bx24verify,1)'/'Gosub(bx24-in,s,1(s))'}
    grep -qF "[$predial]" <<<"$text" || text=${text/"Gosub($predial,s,1)"/'Gosub(bx24-out,s,1)'}
    printf '%s\n' "$text"
}

# How [from-pstn] goes on: its switches, then its includes in their order; those that Asterisk shows, else those that
# the files have: the admin's come before FreePBX's own. Nothing where it is as it is shipped.
ways_on() {
    admin_lines from-pstn | sed -nE 's/^([el]?switch)[[:space:]]*=>?[[:space:]]*(.*)/\L\1\E => \2/Ip'
    if [[ $asterisk_up == yes ]]; then
        loaded_includes from-pstn | sed 's/^/include => /'
    else
        { admin_lines from-pstn && our_lines bx24-pstn; } |
            sed -nE 's/^include[[:space:]]*=>?[[:space:]]*(.*)/include => \1/Ip' | awk '!seen[$0]++'
    fi
}

emergency_mark='; The emergency routes of this PBX, as its dialplan showed them to install.sh. A route that is made or changed later'

# What FreePBX's emergency routes (Set(EMERGENCYROUTE=YES) in a context outrt-N) add to the list, whatever route such a
# number then takes. Not what is long or open-ended: where somebody has ticked a general route, its EMERGENCYROUTE says so
# at run time, until he unticks it; here it would stay.
emergency_lines() {
    local numbers known number
    known=$({ our_lines bx24-emergency && admin_lines bx24-emergency; } | extension_names)
    if [[ $asterisk_up == yes ]]; then
        numbers=$(emergency_numbers)
    else
        # Nothing to ask: what the last run has seen.
        [[ -r $etc_dir/extensions_bx24.conf ]] || return 0
        numbers=$(awk -v mark="$emergency_mark" '$0 == mark { inside = 1 } /^$/ { inside = 0 } inside' \
            "$etc_dir/extensions_bx24.conf" | extension_names)
    fi
    [[ -n $numbers ]] || return 0
    numbers=$(grep -vxF -f <(printf '%s\n' "$known") <<<"$numbers") || return 0
    printf '%s\n' "$emergency_mark" \
        "; is known by its EMERGENCYROUTE=YES without these lines; one that is taken away, when install.sh has run again."
    while read -r number; do printf 'exten => %s,1,NoOp()\n' "$number"; done <<<"$numbers"
}

emergency_numbers() {
    asterisk_says "dialplan show" | awk '
        /^\[ Context \047/ {
            split($0, part, "\047")
            route = part[2] ~ /^outrt-/
        }
        route && /^  \047/ {
            split($0, part, "\047")
            number = part[2]
            shape = number
            sub(/^_/, "", shape)
            gsub(/\[[^]]*\]/, "X", shape)
            short = number ~ /^_?[]0-9XZNxzn*#+[-]+$/ && length(shape) <= 6
        }
        route && short && /Set\(_*EMERGENCYROUTE=YES\)/ { print number }' | sort -u
}

loaded_includes() { # CONTEXT
    asterisk_says "dialplan show $1" | sed -nE "s/^[[:space:]]*Include =>[[:space:]]*'([^']+)'.*/\1/p"
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
    local hook file=$etc_dir/extensions_bx24.conf
    must_show bx24-in 'AGI(bx24_register.py'
    must_show bx24-out 'AGI(bx24_register.py'
    must_show bx24-hangup 'AGI(bx24_finish.py'
    ! grep -q '^\[bx24-verify\]' "$file" || must_show bx24-verify 'AGI(bx24_register.py,verify'
    [[ $shape == freepbx ]] || return 0
    for hook in $(our_hooks); do
        ! grep -q "^\[$hook\]" "$file" || must_show "$hook" 'Gosub(bx24-'
    done
    ! grep -q '^exten => .*Goto(bx24-pstn' "$file" || must_show from-pstn 'Goto(bx24-pstn'
    [[ $(loaded_includes from-pstn) == "$(loaded_includes bx24-pstn)" ]] ||
        printf '  [bx24-pstn] does not lead where [from-pstn] leads\n'
}

must_show() { # CONTEXT TEXT
    grep -qF -- "$2" <<<"$(asterisk_says "dialplan show $1")" || printf '  [%s] has no %s)\n' "$1" "$2"
}

# The hooks are loaded; now a test channel goes through each, and Asterisk starts the script there, as it will for a call.
verify_hooks() {
    [[ $dry == no && $asterisk_up == yes && $begun == yes ]] || return 0
    # An edited file of an earlier version.
    grep -q '^\[bx24-verify\]' "$etc_dir/extensions_bx24.conf" || return 0
    local way said wanted
    wanted="SUCCESS VERIFIED user $(id -u -- "$asterisk_user")"
    for way in in out; do
        said=$(test_channel "$way") || return 0
        [[ $said == "$wanted" ]] || refuse 1 "the hook for calls that $([[ $way == in ]] && echo come in || echo go out)" \
            "did not do on a test channel: ${said:-it was not executed}; it should have said: $wanted" \
            "Asterisk's log says why, or its console: asterisk -rvvv"
    done
    say "A test channel went through the hooks, and the script ran as $asterisk_user."
}

# What the script left in AstDB; fails where Asterisk has no test channels.
test_channel() { # in|out
    local said='' round
    asterisk_says "database del bx24 verify-$1" >/dev/null
    said=$(asterisk_says "channel originate Local/$1@bx24-verify/n application Wait 1")
    if [[ $said == *"No such command"* ]]; then
        warn "the hooks are loaded, but could not be tried: Asterisk has not loaded res_clioriginate.so"
        return 1
    fi
    for ((round = 0; round < 150; round++)); do
        said=$(asterisk_says "database get bx24 verify-$1")
        said=$(sed -n 's/^Value: //p' <<<"$said")
        [[ -z $said ]] || break
        sleep 0.1
    done
    asterisk_says "database del bx24 verify-$1" >/dev/null
    printf '%s\n' "$said"
}
