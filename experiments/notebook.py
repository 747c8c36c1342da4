# %% [markdown]
# # A first look: train a GPT, and see inside
#
# This is a notebook in text form; each `# %%` begins a cell. VS Code and PyCharm open it as it is. After
# `.venv/bin/pip install -e '.[notebook]'`, `.venv/bin/jupytext -o notebook.ipynb experiments/notebook.py` writes the
# file that Jupyter opens, and `.venv/bin/jupyter execute --inplace notebook.ipynb` runs it within half a minute. It
# also runs as a script, which shows no figures.

# %%
import numpy as np
from threadpoolctl import threadpool_limits

from scratchformer.generation import Sampling, generate
from scratchformer.gradcheck import check_op
from scratchformer.layers import Trace
from scratchformer.models import GPT, GPTConfig
from scratchformer.ops import softmax
from scratchformer.optim import AdamW, WarmupCosine, clip_global_norm
from scratchformer.plots import attention_maps, loss_curve
from scratchformer.text import CharacterTokenizer, ShuffledBatches, fixed_batches, pydoc_corpus

# %% [markdown]
# The text is Python's language reference, which every Python has. The model prints its sizes and the parameters of its
# parts.

# %%
corpus = pydoc_corpus()
tokenizer = CharacterTokenizer.from_text(corpus.text)
training, validation = map(tokenizer.encode, corpus.split())
config = GPTConfig(tokenizer.vocabulary_size, context_length=32, num_layers=2, num_heads=2, d_model=32)
model = GPT(config, generator=np.random.default_rng(0))
model

# %% [markdown]
# A training loop of one's own: forward, backward, clipping, a step of AdamW.

# %%
threadpool_limits(1, user_api="blas")  # beside other programs, the threads of so small products mostly wait
NUM_STEPS = 600
batches = ShuffledBatches(training, 16, 32, seed=0)
held_out = fixed_batches(validation, 16, 32, 8)
optimizer, schedule = AdamW(model, weight_decay=0.1), WarmupCosine(5e-3, 5e-4, 20, NUM_STEPS)
losses, validation_steps, validation_losses = [], [], []
for step in range(NUM_STEPS):
    batch = batches(step)
    loss, backward = model.loss(batch.ids, batch.targets)
    model.grads[...] = 0
    backward()
    clip_global_norm(model.grads, 1.0)
    optimizer.step(learning_rate=schedule(step))
    losses.append(float(loss))
    if (step + 1) % 50 == 0:
        validation_steps.append(step + 1)
        validation_losses.append(float(np.mean([model.loss(one.ids, one.targets)[0] for one in held_out])))

# %% [markdown]
# A figure that ends a cell shows itself.

# %%
loss_curve(
    np.arange(1, NUM_STEPS + 1),
    np.array(losses),
    np.array(validation_steps),
    np.array(validation_losses),
    {},
    unit="nats per character",
    title="A GPT of 28,000 parameters reads Python's reference",
)

# %% [markdown]
# What each head attends to: rows are characters that attend, columns those that they attend to.

# %%
text = "the statement is"
trace = Trace("*.attention.weights")
model(tokenizer.encode(text), trace=trace)
attention_maps(
    np.stack(list(trace.values())), list(text), allowed=np.tri(len(text), dtype=bool), title="Attention after training"
)

# %% [markdown]
# What it writes after so short a training.

# %%
choose = Sampling(np.random.default_rng(0), temperature=0.8, top_k=20)
ids = list(generate(model, tokenizer.encode("The "), 300, context_length=32, choose=choose))
print(tokenizer.decode(np.array(ids)))

# %% [markdown]
# Every gradient is compared with numerical derivatives.

# %%
print(check_op(softmax, np.random.default_rng(0).normal(size=(2, 3))))
