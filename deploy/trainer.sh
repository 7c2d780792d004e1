#!/bin/sh
# Publish a first version when there is none, then retrain as the MUTUALREC_TRAIN_* variables say.
set -eu
mutualrec demo --no-serve
exec mutualrec scheduler
