import sys, numpy as np
from PIL import Image
from benchmarks.tiny_world.pipelines import *
from benchmarks.tiny_world.evaluate_base import prompts_of
from benchmarks.tiny_world.measures import measure_clip
from benchmarks.tiny_world.pipelines import generate, load_tiny_pipeline, use_one_thread
use_one_thread()
folder, n, out, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
pipe = load_tiny_pipeline(folder)
asked = [a for a in prompts_of(1, 3*n, seed)][:n]
rows = []
for s in range(0, n, 4):
    batch = asked[s:s+4]
    clips = generate(pipe, [a.prompt for a in batch], [seed*1_000_000+s+i for i in range(len(batch))])
    for a, c in zip(batch, clips):
        m = measure_clip(c, a)
        if not m.right.all():
            bad = ~m.pattern
            print(a.prompt, "".join("." if r else "x" for r in m.right), {k: float(getattr(m,k).mean()) for k in ("present","color","shape","background","pattern")}, np.round(m.backgrounds.deviation, 2), flush=True)
            strip = []
            for i, f in enumerate(c):
                f = f.copy()
                if not m.right[i]: f[:3] = (255,0,0)
                strip.append(np.pad(f, ((1,1),(1,1),(0,0))))
            rows.append(np.concatenate(strip, 1))
if rows: Image.fromarray(np.concatenate(rows, 0)).resize((rows[0].shape[1]*3//2, rows[0].shape[0]*len(rows)*3//2), 0).save(out)
