. /work/wt/env.sh
while pgrep -f "output_dir $O/t2v-9" >/dev/null; do sleep 2; done
$P -m $T.straighten_vae --vae $O/vae-s3 --output_dir $O/vae-s4 --pipelines $O/t2v-9 $O/ad-8 --num_clips 96 --max_train_steps 2000 > $L/s4.log 2>&1
for m in t2v-9 ad-8; do
cp $O/vae-s4/config.json $O/vae-s4/*.safetensors $O/$m/vae/
$P -m $T.evaluate_base --pretrained_model_name_or_path $O/$m --num_objects 1 --num_clips 96 --batch_size 4 --output $O/base-$m-s4.json > $L/base-$m-s4.log 2>&1
done
