#!/usr/bin/env bash
# `mlproj run` by what a CI system gives as variables, its reports and outputs put into the folder $1.
# Values come in variables, one a line, and go on as words of an argument vector: nothing in them is read by a shell.
set -euo pipefail
reports=$1
mkdir -p "$reports"

words=(--json --report "$reports/report.md" --report "$reports/report.html" --report "$reports/metrics.txt" --junit "$reports/junit.xml")
[ "${LOCKED:-true}" != true ] || words+=(--locked)
[ "${REUSE:-false}" != true ] || words+=(--reuse)
[ -z "${ENTRY_POINT:-}" ] || words+=("--entry-point=$ENTRY_POINT")
[ -z "${BASELINE:-}" ] || words+=("--baseline=$BASELINE")

add() { # add OPTION LINES: the option once for each line that is not blank
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    [ -z "${line//[[:space:]]/}" ] || words+=("$1=${line%$'\r'}")
  done <<<"$2"
}
add --param "${PARAMS:-}"
add --assert "${ASSERT:-}"
add --tolerance "${TOLERANCE:-}"
while IFS= read -r line; do
  [ -z "$line" ] || words+=("${line%$'\r'}")
done <<<"${ARGUMENTS:-}"

# The project stands before the options: one that begins with a dash is none of them.
project=${PROJECT:-.}
case $project in -*) project=./$project ;; esac

status=0
mlproj run "$project" "${words[@]}" >"$reports/run.json" || status=$?
if [ -s "$reports/run.json" ]; then
  id=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["id"])' "$reports/run.json")
  outcome=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["status"])' "$reports/run.json")
  cp -R -- "$MLPROJ_HOME/runs/$id/artifacts" "$reports/artifacts" 2>/dev/null || true
  if [ -n "${GITHUB_OUTPUT:-}" ]; then
    printf '%s\n' "run-id=$id" "status=$outcome" "record=$reports/run.json" >>"$GITHUB_OUTPUT"
  fi
else
  rm -f -- "$reports/run.json"
fi
exit "$status"
