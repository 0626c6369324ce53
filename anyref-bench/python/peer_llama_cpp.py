"""llama.cpp as a peer: `peer_llama_cpp.py MODEL THREADS [f32]`, with PyPI's llama-cpp-python.

With `f32` keys and values are f32 and attention is not fused, for comparisons of logits.

Answers the same lines as `gguf_bench`: `prompt N` and `decode N` with seconds,
`tokens TEXT` with ids, `logits FILE` with the number of logits written.
"""

import ctypes
import json
import sys
import time

import llama_cpp as c
import numpy as np

path, threads = sys.argv[1], int(sys.argv[2])
silent = c.llama_log_callback(lambda level, text, data: None)
c.llama_log_set(silent, ctypes.c_void_p(0))
start = time.perf_counter()
c.llama_backend_init()
params = c.llama_model_default_params()
params.n_gpu_layers = 0
model = c.llama_model_load_from_file(path.encode(), params)
vocab = c.llama_model_get_vocab(model)
size = c.llama_vocab_n_tokens(vocab)
params = c.llama_context_default_params()
params.n_ctx = 2560
params.n_batch = 2560
params.n_threads = params.n_threads_batch = threads
if sys.argv[3:] == ["f32"]:
    params.type_k = params.type_v = 0
    params.flash_attn_type = c.LLAMA_FLASH_ATTN_TYPE_DISABLED
context = c.llama_init_from_model(model, params)
batch = c.llama_batch_init(2560, 0, 1)
print(json.dumps({"load": time.perf_counter() - start}), flush=True)
memory = c.llama_get_memory(context)


def read(ids, first, all_logits=False):
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i] = token
        batch.pos[i] = first + i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = all_logits or i + 1 == len(ids)
    assert c.llama_decode(context, batch) == 0


def scores(count, index=0):
    pointer = c.llama_get_logits_ith(context, -1) if count == 1 else c.llama_get_logits(context)
    return np.ctypeslib.as_array(pointer, (count, size))


def some_ids(count):
    return [100 + i * 7919 % 20000 for i in range(count)]


def prompt(count):
    ids = some_ids(count)
    start = time.perf_counter()
    c.llama_memory_clear(memory, True)
    read(ids, 0)
    scores(1)
    return time.perf_counter() - start


def decode(count):
    c.llama_memory_clear(memory, True)
    read(some_ids(32), 0)
    start = time.perf_counter()
    for i in range(count):
        read([int(scores(1).argmax())], 32 + i)
    scores(1)
    return (time.perf_counter() - start) / count


ids = []
for line in sys.stdin:
    task, _, rest = line.rstrip("\n").partition(" ")
    if task == "prompt":
        print(prompt(int(rest)), flush=True)
    elif task == "decode":
        print(decode(int(rest)), flush=True)
    elif task == "tokens":
        text = rest.replace("\\n", "\n").encode()
        room = (c.llama_token * (len(text) + 8))()
        count = c.llama_tokenize(vocab, text, len(text), room, len(room), True, True)
        ids = list(room[:count])
        print(ids, flush=True)
    elif task == "logits":
        c.llama_memory_clear(memory, True)
        read(ids, 0, all_logits=True)
        scores(len(ids)).astype("<f4").tofile(rest)
        print(len(ids) * size, flush=True)
    elif task == "quantize":
        # Number of the type in llama.cpp's llama_ftype, then the file to write.
        number, _, target = rest.partition(" ")
        options = c.llama_model_quantize_default_params()
        options.ftype = int(number)
        options.nthread = threads
        options.allow_requantize = True
        print(c.llama_model_quantize(path.encode(), target.encode(), ctypes.byref(options)), flush=True)
