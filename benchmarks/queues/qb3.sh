. /work/wt/env.sh
while pgrep -f "output_dir $O/ad-8" >/dev/null; do sleep 2; done
$P -m $T.straighten_vae --vae $O/vae-s2 --output_dir $O/vae-s3 --pipelines $O/t2v-8 $O/ad-8 --num_clips 96 --max_train_steps 2500 > $L/s3.log 2>&1
for m in t2v ad; do
cp $O/vae-s3/config.json $O/vae-s3/*.safetensors $O/$m-8/vae/
$P -m $T.evaluate_base --pretrained_model_name_or_path $O/$m-8 --num_objects 1 --num_clips 96 --batch_size 4 --output $O/base-$m-s3.json > $L/base-$m-s3.log 2>&1
done
while pgrep -f "output_dir $O/wan-9" >/dev/null; do sleep 2; done
$P -m $T.straighten_vae --vae $O/wvae-s1 --output_dir $O/wvae-s2 --pipelines $O/wan-9 --num_clips 96 --max_train_steps 2500 > $L/ws2.log 2>&1
cp $O/wvae-s2/config.json $O/wvae-s2/*.safetensors $O/wan-9/vae/
$P -m $T.evaluate_base --pretrained_model_name_or_path $O/wan-9 --num_objects 1 --num_clips 96 --batch_size 4 --output $O/base-wan-s2.json > $L/base-wan-s2.log 2>&1
