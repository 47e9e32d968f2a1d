. /work/wt/env.sh
$P -m $T.evaluate_base --pretrained_model_name_or_path $1 --num_objects 1 --num_clips $2 --batch_size 4 --output $O/$3.json 2>/dev/null
