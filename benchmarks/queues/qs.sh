. /work/wt/env.sh
for a in "12 ddim" "24 ddim" "12 beta" "12 beta2"; do $P /work/wt/sampler.py $O/t2v-8 40 1 $a 2>/dev/null; done > $L/sampler.log
