date; for f in /work/wt/logs/*.log; do echo "$(basename $f): $(tail -c 110 $f | tr '\r' '\n' | tail -1)"; done
