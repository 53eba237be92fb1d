#!/usr/bin/env bash
# Run the unit tests on each Python that perdure supports and this machine has, besides the venv's own, and the contract's
# tests on the newest, for memory and SQLite.
# PYTHONS="/path/to/python3.13 ..." names them instead of looking. Environments live in $VENV/pythons.
set -euo pipefail
wanted=(3.11 3.12 3.13)
venv=${VENV:-.venv}
own=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

# A pyenv shim exists for versions that aren't active, so a candidate counts only when it starts.
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

find_python() {
    local candidate
    for candidate in ${PYTHONS:-} "python$1" "$HOME/.pyenv/versions/$1".*/bin/python /usr/local/bin/python"$1" /opt/python*/bin/python"$1"; do
        if [ "$(version "$candidate")" = "$1" ]; then echo "$candidate"; return; fi
    done
}

ran=("$own (make test)"); absent=(); failed=()
for want in "${wanted[@]}"; do
    [ "$want" = "$own" ] && continue
    python=$(find_python "$want")
    if [ -z "$python" ]; then absent+=("$want"); continue; fi
    env=$venv/pythons/$want
    if [ ! -e "$env/.stamp" ] || [ pyproject.toml -nt "$env/.stamp" ]; then
        "$venv/bin/uv" venv --quiet --clear --python "$python" "$env"
        VIRTUAL_ENV=$PWD/$env "$venv/bin/uv" pip install --quiet --editable '.[cli,draw,encryption,redis,s3,server,sqlite-vec]' --group test --group reference
        touch "$env/.stamp"
    fi
    echo "--- Python $want"
    ran+=("$want")
    "$env/bin/python" -m pytest -q -n 2 -p no:cacheprovider tests/unit || failed+=("$want")
    if [ "$want" = "${wanted[-1]}" ]; then # what works on the oldest and on the newest works between them
        "$env/bin/python" -m pytest -q -n 2 -p no:cacheprovider -k "(memory or sqlite) and not (encrypted or by-changes)" tests/contract/test_contract.py ||
            failed+=("$want")
    fi
done
printf 'Pythons tested: %s.' "$(IFS=,; echo "${ran[*]}")"
if ((${#absent[@]})); then printf ' Not found on this machine: %s.' "$(IFS=,; echo "${absent[*]}")"; fi
echo
if ((${#failed[@]})); then echo "Failed on: ${failed[*]}." >&2; exit 1; fi
