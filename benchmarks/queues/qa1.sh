. /work/wt/env.sh
for m in t2v animatediff; do
$P -m $T.evaluate_base --pretrained_model_name_or_path examples/tiny-$m --num_objects 1 --num_clips 48 --batch_size 4 --output $O/base-$m-s2.json > $L/base-$m.log 2>&1
done
