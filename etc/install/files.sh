# shellcheck shell=bash
# Part of install.sh: directories, files, links and marked blocks, each put once, recorded, and never over an edit.
# shellcheck disable=SC2034,SC2154

block_begin='; freepbx-bx24 begin (written by install.sh, taken out by install.sh --uninstall)'
block_begin_joined="$block_begin; the line end before this one too"
block_end='; freepbx-bx24 end'

hash_of() { # FILE
    sha256sum <"$1" | cut -d ' ' -f 1
}

put_dir() { # PATH OWNER:GROUP MODE
    if [[ -d $1 ]]; then
        # Ours by its name, also when an earlier --uninstall left it; any other only when the manifest says so.
        if [[ $1 == "$state"* || $1 == "$runtime" ]]; then record dir - "$1"; else keep_record dir "$1"; fi
        return 0
    fi
    if change "make the directory $1"; then
        undo_line dir - "$1"
        make_dir "$1" "$2" "$3"
    fi
    record dir - "$1"
}

# Prepared where root alone may write, and then put at its place.
write_file() { # SOURCE TARGET OWNER:GROUP MODE
    remember "$2"
    cp -- "$1" "$checkpoint/incoming"
    put_in_place "$checkpoint/incoming" "$2" "$3" "$4"
}

# A file of ours. One that somebody has edited stays; ours goes beside it as .new, with one warning for each new version.
put_file() { # SOURCE TARGET OWNER:GROUP MODE
    local source=$1 target=$2 wanted now known beside
    wanted=$(hash_of "$source")
    put_dir "${target%/*}" root:root 0755
    if [[ ! -e $target && ! -L $target ]]; then
        if change "write $target"; then write_file "$source" "$target" "$3" "$4"; fi
        record file "$wanted" "$target"
        return 0
    fi
    now=$(hash_of "$target")
    known=$(recorded file "$target") || known=
    if [[ $now == "$wanted" ]]; then
        # fwconsole chown may change owner and mode of what stands in Asterisk's directories: no reason to write it again.
        record file "$wanted" "$target"
    elif [[ $now == "$known" ]]; then
        if change "bring $target up to date"; then write_file "$source" "$target" "$3" "$4"; fi
        record file "$wanted" "$target"
    else
        record file "${known:-edited}" "$target"
        # logrotate reads every file of its directory except those with a few endings, this one among them.
        beside=$target.new
        [[ $target != "$rotation" ]] || beside=$target.dpkg-new
        if [[ ! -e $beside || $(hash_of "$beside") != "$wanted" ]]; then
            if change "write $beside"; then write_file "$source" "$beside" "$3" "$4"; fi
            warn "$target was edited and stays as it is; the new version is $beside"
        fi
        record file "$wanted" "$beside"
    fi
}

put_link() { # TARGET LINK
    if [[ -L $2 && $(readlink -- "$2") == "$1" ]]; then
        record link "$1" "$2"
        return 0
    fi
    if [[ -e $2 || -L $2 ]] && ! recorded link "$2" >/dev/null; then
        warn "$2 is there and not ours; it stays as it is"
        return 0
    fi
    if change "link $2 to $1"; then
        remember "$2"
        ln -sfn -- "$1" "$checkpoint/link"
        mv -fT -- "$checkpoint/link" "$2"
    fi
    record link "$1" "$2"
}

has_block() { # FILE
    [[ -e $1 ]] && grep -qF -- "$block_begin" "$1"
}

# Another's file is edited where it really stands; a link that the asterisk user made is followed to his own files only.
check_link() { # FILE
    local real
    real=$(readlink -m -- "$1")
    if [[ -L $1 && -e $real && $(stat -c %u -- "$1") != 0 && $(stat -c %u -- "$real") != $(stat -c %u -- "$1") ]]; then
        refuse 3 "$1 is a link to $real, whose owner is another: replace it by a file"
    fi
}

# One line of ours between two marks at the end of another's file, which keeps its owner, mode and all other bytes.
put_block() { # FILE LINE OWNER:GROUP
    local file=$1 begin=$block_begin
    if has_block "$file"; then
        keep_record made "$file"
        record block - "$file"
        return 0
    fi
    # Somebody has written the same line himself.
    [[ ! -e $file || -z $(foreign_includes "${2#* }" "$file") ]] || return 0
    [[ -e $file ]] || record made - "$file"
    if change "add \"$2\" to $file"; then
        remember "$file"
        edit_kept "$file"
        if [[ -s $checkpoint/incoming && -n $(tail -c 1 -- "$checkpoint/incoming") ]]; then
            begin=$block_begin_joined
            printf '\n' >>"$checkpoint/incoming"
        fi
        printf '%s\n%s\n%s\n' "$begin" "$2" "$block_end" >>"$checkpoint/incoming"
        put_edited "$file" "$3"
    fi
    record block - "$file"
}

# The copy of another's file, to be edited; what stands there by now may be a link.
edit_kept() { # FILE
    [[ -z $kept || -f $kept && ! -L $kept ]] || refuse 1 "$1 is no plain file any more: put one there, then run install.sh again"
    cat -- "${kept:-/dev/null}" >"$checkpoint/incoming"
}

put_edited() { # FILE OWNER:GROUP-OF-A-NEW-ONE
    if [[ -n $kept ]]; then
        put_in_place "$checkpoint/incoming" "$1" "$(stat -c %u:%g -- "$kept")" "$(stat -c %a -- "$kept")"
    else
        put_in_place "$checkpoint/incoming" "$1" "$2" 0640
    fi
}

# Our three lines go, wherever somebody has moved or half deleted them; what he wrote between them stays.
take_block_out() { # FILE
    remember "$1"
    edit_kept "$1"
    local joined=no
    ! grep -qF -- "$block_begin_joined" "$kept" || [[ $(tail -n 1 -- "$kept" | tr -d '\r') != "$block_end" ]] || joined=yes
    awk -v begin="$block_begin" -v end="$block_end" '
        { text = $0; sub(/\r$/, "", text) }
        index(text, begin) == 1 { begun = 1; next }
        text == end { next }
        begun && text ~ /^#tryinclude [a-z]+_bx24[.]conf$/ { begun = 0; next }
        { begun = 0; print }' "$kept" >"$checkpoint/incoming"
    [[ $joined == no ]] || truncate --size=-1 "$checkpoint/incoming"
    put_edited "$1" ''
}
