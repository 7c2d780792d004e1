#!/bin/sh
# Publish a first version when there is none, then retrain every RETRAIN_EVERY_S seconds.
set -eu
every="${RETRAIN_EVERY_S:-3600}"
mutualrec demo --no-serve
while sleep "$every"; do
    status=0
    mutualrec retrain || status=$?
    case "$status" in
        0 | 10) ;; # promoted, nothing new
        *) echo "retraining failed with exit code $status; trying again in $every s" >&2 ;;
    esac
done
