import gc
from collections import Counter
from pathlib import Path
import torch
from scdual.datasets import simulate
from scdual.model import SCDual
def rss(): return int(Path("/proc/self/statm").read_text().split()[1])*4096/1e6
def test_soak():
    def once():
        data = simulate(400, 500, n_regulators=20)
        SCDual.setup_anndata(data)
        model = SCDual(data, regulators="regulator")
        model.train(1, enable_progress_bar=False)
        model.get_latent_representation()
    torch.set_num_threads(1)
    last=None
    out=open("/tmp/soak_dbg.txt","w")
    for i in range(100):
        once()
        if i%10==9:
            gc.collect(); c=Counter(type(o).__name__ for o in gc.get_objects())
            print(i+1, round(rss()), sum(c.values()), (c-last).most_common(12) if last else "", file=out, flush=True); last=c
