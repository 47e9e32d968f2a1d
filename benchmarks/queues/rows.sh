# rows of measured.md: rows.sh MODEL...
. /work/wt/env.sh
F="$P -m benchmarks.fidelity"; Q="--half report --num_seeds 4"
OBJ="--references hops triangle pendulum slow_drift"; CAM="--references turning_zoom rocking_roll accelerating_pan shake"
for m in "$@"; do
M="--pretrained_model_name_or_path examples/$m"
$F plain/without "methods/motion embedding" $Q $OBJ $M > $L/row-$m.log 2>&1
[ $m = tiny-wan ] && $F "positions/tracked path" $Q $OBJ $M > $L/row-$m-path.log 2>&1
[ $m = tiny-wan-i2v ] || $F plain/without "cameras/own recipe" $Q $CAM $M > $L/row-$m-cameras.log 2>&1
$P -m $T.evaluate_base $M --batch_size 4 --seed 2 --output $O/card-$m.json > $L/card-$m.log 2>&1
done
