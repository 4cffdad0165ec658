# shellcheck shell=bash
# Part of install.sh: before --uninstall: what the CRM is still owed; and what it leaves in the portal.
# shellcheck disable=SC2034,SC2154

# The longest seconds in which the service tells the CRM nothing more before waiting for it makes no sense.
owed_patience=30

# Nothing has been changed yet: whoever does not want to lose these calls can still see to it.
settle_owed() {
    local owed due calls service
    owed=$(owed_calls) || owed="0 unknown 0"
    read -r due calls service <<<"$owed"
    [[ $calls != 0 ]] || return 0
    if [[ $dry == yes ]]; then
        printf 'The CRM is still owed %s; without --force this would be waited for\n' "$(calls_text "$calls")"
        return 0
    fi
    if [[ $force == no && $service == 1 ]] && ((due)); then
        printf 'The CRM is still owed %s; the service is given time to tell it. Ctrl-C: nothing has been changed.\n' "$(calls_text "$calls")"
        calls=$(wait_for_owed "$due" "$calls")
    fi
    [[ $calls != 0 ]] || return 0
    [[ $force == yes ]] || refuse 1 "the CRM is still owed $(calls_text "$calls"); nothing was changed." \
        "bx24 outbox list shows what and why. To tell it first: let the service run until nothing is owed." \
        "To remove all the same: --uninstall --force (what is owed is kept in $state, but for --purge)."
    warn "the CRM is not told of $(calls_text "$calls")$([[ $purge == yes ]] || printf '; it is kept in %s' "$state")"
}

calls_text() { # NUMBER, or `unknown`
    case $1 in
        1) printf '1 call' ;;
        unknown) printf 'calls that can not be counted (bx24 outbox list says why)' ;;
        *) printf '%s calls' "$1" ;;
    esac
}

# How many calls are owed when the service is through with what is due, or gets no further.
wait_for_owed() { # DUE CALLS
    local due=$1 calls=$2 service least=$1 since=$SECONDS
    while ((due && SECONDS - since < owed_patience)); do
        sleep 1
        read -r due calls service < <(owed_calls) || break
        if ((due < least)); then least=$due since=$SECONDS; fi
        [[ $service == 1 ]] || break
    done
    printf '%s\n' "$calls"
}

# DUE CALLS SERVICE: items that are to be told now, calls that something is owed of, whether the service runs. What AGI
# scripts wrote down for a service that did not answer is owed as well.
owed_calls() {
    local listed='{"items": [], "counts": {"due": 0}, "service": false}'
    if [[ -s $state/journal.sqlite ]]; then
        listed=$("$program/venv/bin/bx24" outbox list --json 2>/dev/null) || return 1
    fi
    "$program/venv/bin/python3" -IB -c '
import json, os, sys
listed = json.loads(sys.argv[1])
intake = sys.argv[2]
left = [name for name in (os.listdir(intake) if os.path.isdir(intake) else []) if not name.startswith(".")]
calls = {item["uniqueid"] for item in listed["items"]}
calls.update(name.rsplit(".", 1)[0].split("-", 2)[-1] for name in left)
print(listed["counts"]["due"] + len(left), len(calls), int(listed["service"]))' "$listed" "$state/intake" 2>/dev/null
}

# The portal would keep events for an application that nobody serves. A webhook has none, nor has an application that
# nobody ever let in.
unbind_events() {
    [[ -x $program/venv/bin/bx24 && -e $state/token.json ]] || return 0
    change "unbind the portal's events" || return 0
    run timeout 60 "$program/venv/bin/bx24" events unbind ||
        warn "the portal's events could not be unbound; they end with the application, see below"
}

# Read before the settings go. The webhook's URL is a secret, its address in the portal is not told either.
what_the_portal_keeps() {
    [[ -r $config ]] || return 0
    local url
    url=$(sed -nE 's/^  url: *"?([^" #]+).*/\1/p' "$config" | head -n 1)
    if [[ -n $url ]]; then
        printf '  the local application (%s): Developer resources, Integrations\n' "$url"
    elif grep -qE '^  webhook_file:' "$config"; then
        printf '  the inbound webhook: Developer resources, Integrations. It opens the portal to whoever has it\n'
    else
        return 0
    fi
    printf '%s\n' "  the lines, in the list of numbers of the telephony: calls that came over them keep their names" \
        "  the default number for outgoing calls, where it is one of these lines: Telephony, Configure telephony"
}
