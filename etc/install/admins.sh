# shellcheck shell=bash
# Part of install.sh: the admin's own dialplan: what he has at the places of our hooks, and the lines to merge there.
# shellcheck disable=SC2034,SC2154

# The files of FreePBX that hold what is not its own core: the admin's, and what modules generate; with all they include.
admin_files() {
    files_with_includes "$etc_dir/extensions_bx24.conf" "$etc_dir/extensions_override_freepbx.conf" \
        "$etc_dir/extensions_additional.conf" "$etc_dir/extensions_custom.conf"
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

# The lines that somebody else has in a context, in all places where it stands, as Asterisk reads them (its config.c):
# without comments, also those from ;-- to --; over many lines, and without what editors leave at a line's end; with what
# the context takes from templates, `[from-pstn](mine)`, and without what stands in a template alone, `[from-pstn](!)`.
admin_lines() { # CONTEXT [places: the files they stand in instead]
    local files=()
    mapfile -t files < <(admin_files)
    ((${#files[@]})) || return 0
    awk -v context="$1" -v places="${2:-}" '
        function code(line,   out, at) {
            out = ""
            while ((at = index(line, ";")) > 0) {
                if (depth == 0 && at > 1 && substr(line, at - 1, 1) == "\\") {
                    out = out substr(line, 1, at)
                    line = substr(line, at + 1)
                } else if (substr(line, at + 1, 2) == "--" && substr(line, at + 3, 1) != "-") {
                    if (depth++ == 0) out = out substr(line, 1, at - 1)
                    line = substr(line, at + 3)
                } else if (depth > 0 && at > 2 && substr(line, at - 2, 2) == "--") {
                    depth--
                    line = substr(line, at + 1)
                } else if (depth == 0) {
                    return out substr(line, 1, at - 1)
                } else {
                    line = substr(line, at + 1)
                }
            }
            return depth == 0 ? out line : out
        }
        function begin_section(   at, count, i, names) {
            at = index(text, "]")
            section = substr(text, 2, at - 2)
            names = substr(text, at + 1)
            gsub(/[() \t]/, "", names)
            count = split(names, part, ",")
            template = 0
            for (i = 1; i <= count; i++) if (part[i] == "!") template = 1
            for (i = 1; i <= count; i++) if (part[i] != "!" && part[i] != "+") keep("(" part[i])
        }
        function keep(line) {
            lines[section, ++number[section]] = line
            hidden[section, number[section]] = template
            place[section, number[section]] = FILENAME
        }
        function show(name, whole, from,   i, line) {
            for (i = 1; i <= number[name]; i++) {
                line = lines[name, i]
                if (hidden[name, i] && !whole) continue
                if (substr(line, 1, 1) != "(") print places == "" ? line : (from == "" ? place[name, i] : from)
                else if (level < 20) {
                    level++
                    show(substr(line, 2), 1, from == "" ? place[name, i] : from)
                    level--
                }
            }
        }
        FNR == 1 { section = ""; depth = template = 0 }
        {
            text = code($0)
            gsub(/^[ \t]+|[ \t\r]+$/, "", text)
        }
        text ~ /^\[/ { begin_section(); next }
        section != "" && text ~ /^[a-zA-Z]/ { keep(text) }
        END { show(context, 0, "") }' "${files[@]}"
}

extension_names() {
    sed -nE 's/^exten[[:space:]]*=>?[[:space:]]*([^,]+),.*/\1/Ip' | sort -u
}

# The contexts where a call goes that enters one: the context itself, then what it includes, as far as it is theirs.
ways_of() { # CONTEXT
    local queue=("$1") seen=' ' context name
    while ((${#queue[@]})); do
        context=${queue[0]}
        queue=("${queue[@]:1}")
        [[ $seen != *" $context "* ]] || continue
        seen+="$context "
        printf '%s\n' "$context"
        while read -r name; do queue+=("$name"); done < <(admin_lines "$context" |
            sed -nE 's/^include[[:space:]]*=>?[[:space:]]*([^,|[:space:]]+).*/\1/Ip')
    done
}

# Whether it is somebody else's: an extension is; so is an include or a switch, which ours would be found before. What
# follows `same` alone Asterisk itself does not take: there is no extension that it could belong to.
is_theirs() { # CONTEXT
    grep -Eiq '^(exten|include|[el]?switch)[[:space:]]*=' <<<"$(admin_lines "$1")"
}

# Of a context's own patterns the narrowest wins (pbx.c compares how many characters the first place takes). Beside one
# that takes as many as ours, or more, ours would take calls away from it.
is_wide() { # EXTENSION
    local name=${1#_} set size=0 at first last
    [[ $1 == _* ]] || return 1
    while [[ $name == -* ]]; do name=${name#-}; done
    [[ $name != [.!]* ]] || return 0
    [[ $name == \[* ]] || return 1
    set=${name#[} set=${set%%]*}
    for ((at = 0; at < ${#set}; at++)); do
        if [[ ${set:at+1:1} == - && -n ${set:at+2:1} ]]; then
            printf -v first %d "'${set:at:1}"
            printf -v last %d "'${set:at+2:1}"
            size=$((size + last - first + 1))
            at=$((at + 2))
        else
            size=$((size + 1))
        fi
    done
    ((size >= 13)) # [+0-9*#]
}

# What the admin must merge himself, because he has a definition of his own at one of our places.
tell_merge_hints() {
    local hook name lines
    if [[ $shape == plain ]]; then
        say "This is an Asterisk without FreePBX: add Gosub(bx24-in,...) and Gosub(bx24-out,...) to your dialplan" \
            "as the comment in $etc_dir/extensions_bx24.conf shows."
        return 0
    fi
    for hook in $(our_hooks); do
        ! is_theirs "$hook" || tell_hook "$hook"
    done
    lines=$(admin_lines from-pstn)
    while read -r name; do
        [[ -z $name ]] || step_is_there "$name" bx24-in <<<"$lines" ||
            warn "you have an extension $name of your own in [from-pstn]. It stays, and calls to it will be seen when" \
                "its first step is ours:$(merged "$name" "Gosub(bx24-in,s,1(\${EXTEN}))" <<<"$lines")"
    done < <(extension_names <<<"$lines")
}

tell_hook() { # CONTEXT
    local context lines step gain='what ours does there will be done'
    step=$(our_lines "$1" | grep -oE -m 1 'Gosub\(bx24-[a-z-]+,s,1(\([^)]*\))?\)') || return 0
    [[ $1 != "$predial" ]] || gain='outbound calls will be seen'
    # His steps may stand in a context that his hook includes.
    while read -r context; do
        lines=$(admin_lines "$context")
        grep -qx s <<<"$(extension_names <<<"$lines")" || continue
        step_is_there s "$(grep -oE 'bx24-[a-z-]+' <<<"$step")" <<<"$lines" ||
            warn "you have a [$1] of your own ([$context] in $(admin_lines "$context" places | sort -u | tr '\n' ' '))." \
                "It stays, and $gain when its first step is ours:$(merged s "$step" <<<"$lines")"
        return 0
    done < <(ways_of "$1")
    warn "you have a [$1] of your own, without an extension s. It stays, and $gain when you add there:" \
        $'\n'"$(our_lines "$1" | grep -E '^ *(exten|same) ' | sed 's/^/  /')"
}

# Whether an extension's steps call one of our contexts.
step_is_there() { # EXTENSION OUR-CONTEXT <LINES
    EXTENSION=$1 awk -v ours="($2," '
        BEGIN { extension = ENVIRON["EXTENSION"] }
        { line = tolower($0) }
        line ~ /^exten[ \t]*=/ {
            name = $0
            sub(/^[a-zA-Z]+[ \t]*=>?[ \t]*/, "", name)
            sub(/,.*/, "", name)
        }
        line ~ /^(exten|same)[ \t]*=/ && name == extension && index($0, ours) { found = 1 }
        END { exit !found }'
}

# The lines as they have to be: our step first, then his first one behind it.
merged() { # EXTENSION STEP <LINES
    EXTENSION=$1 awk -v ours="$2" '
        BEGIN { extension = ENVIRON["EXTENSION"] }
        tolower($0) ~ /^exten[ \t]*=/ {
            rest = $0
            sub(/^[a-zA-Z]+[ \t]*=>?[ \t]*/, "", rest)
            if (index(rest, extension ",") != 1) next
            rest = substr(rest, length(extension) + 2)
            sub(/^[ \t]+/, "", rest)
            if (first == "" && rest ~ /^1[ \t]*[(,]/) first = rest
            else if (rest ~ /^[0-9]/) numbered = 1
        }
        END {
            print "\n  exten => " extension ",1," ours
            if (first != "") {
                sub(/^1[ \t]*/, "", first)
                print "   same => n" first
            }
            if (numbered) print "  (and the steps after it, which have numbers, each one number higher)"
        }'
}
