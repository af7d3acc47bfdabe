#!/usr/bin/env bash
# From a fresh clone to a searched model beside a hand-made one, on real data (Census-Income, three tasks).
# Each run goes to a new folder, runs/quickstart-1, -2, ... Nothing is overwritten.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/venv.sh"
cd -- "$ROOT"

DATA=census_income
SPACE=automtl_small
BASELINE=shared_bottom
BUDGET=3m                       # of the search: how much it tries follows from how fast this machine is
RIVAL="search.rivals=[$BASELINE]"  # the hand-made model that runs in the race

n=1
while [ -e "runs/quickstart-$n" ] || [ -e "runs/quickstart-$n-$BASELINE" ]; do n=$((n + 1)); done
RUN=runs/quickstart-$n
HAND_MADE=$RUN-$BASELINE
PICTURE=$RUN/architecture.png
REPORT=$RUN/report.html
SHORT="retrain.epochs=4"        # for both models alike: minutes less, a little AUC less

make_venv ""
automtl() { "$VENV/bin/automtl" "$@"; }

step "data: bring $DATA (kept in your cache folder, so the second time is quick)" automtl data get "$DATA"
step "search: $SPACE on $DATA, $BUDGET -> $RUN" automtl search "$DATA" --space "$SPACE" --budget "$BUDGET" --set "$RIVAL" --out "$RUN"
step "retrain: what the search handed over, from fresh weights" automtl retrain "$RUN" --set "$SHORT"
step "retrain: the hand-made $BASELINE, by the same code -> $HAND_MADE" automtl retrain "$BASELINE" --data "$DATA" --out "$HAND_MADE" --set "$SHORT"
step "evaluate: both on the test rows, side by side" automtl evaluate "$RUN" "$HAND_MADE"
step "picture: what the search handed over -> $PICTURE" automtl show "$RUN" -o "$PICTURE"
step "report: both models on one page -> $REPORT" automtl report "$RUN" "$HAND_MADE" -o "$REPORT"

step "status: what the search decided, and how sure that is" automtl status "$RUN"

say "done in $((SECONDS / 60)) min $((SECONDS % 60)) s. Where to look next:"
cat <<END
   $REPORT
      the verdict, figures and pictures of both models: open it in a browser
   $PICTURE
      what the search handed over: which choices are decided
   $RUN/search/race.jsonl
      every training of the search's race: which architecture, rows, seed, loss
   $VENV/bin/automtl --help
      all commands
   README.md, "A first search on your own file"
      the same on your own data
END
