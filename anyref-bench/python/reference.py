"""Reference side of `cargo xtask parity`.

    python reference.py make PART SIZE FOLDER
        writes a part with random weights in its published layout, and an input
    python reference.py run PART SIZE FOLDER [TIMES [TILES]]
        loads the part, computes TIMES times, writes the output, prints the seconds as JSON

PART is clip, sam-b, sam-h, sam-h-prompts, sam2-t, sam2-s, sam2-b, sam2-l, mask-decoder, imagebind,
imagebind-text, region-encoder, llama-1b, llama-1b-f32, llama, sa2va-1b, sa2va-1b-f32, glamm or lisa-7b; SIZE is full or
tiny. TILES, of a Sa2VA, are 1, 4 or 12.
"""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import reference_llava
import reference_sa2va
from reference_sizes import (
    SAM2,
    clip_config,
    fill,
    fill_parameter,
    fixture_module,
    region_encoder,
    sam2_config,
    sam2_state,
    segmenter,
)


def sam_config(part, size):
    from transformers import SamConfig

    full = {
        "sam-b": dict(
            hidden_size=768, mlp_dim=3072, num_hidden_layers=12, num_attention_heads=12,
            global_attn_indexes=[2, 5, 8, 11],
        ),
        "sam-h": dict(
            hidden_size=1280, mlp_dim=5120, num_hidden_layers=32, num_attention_heads=16,
            global_attn_indexes=[7, 15, 23, 31],
        ),
    }
    tiny = dict(
        hidden_size=32, mlp_dim=48, num_hidden_layers=2, num_attention_heads=2, image_size=256,
        global_attn_indexes=[1],
    )
    vision = full.get(part.removesuffix("-prompts"), full["sam-b"]) if size == "full" else tiny
    side = vision.get("image_size", 1024)
    # Epsilon of the authors, whose layout the files have.
    decoder = dict(layer_norm_eps=1e-5)
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=dict(image_size=side), mask_decoder_config=decoder
    )
    return config, side


def make_sam2(part, size, folder, generator):
    """Writes a SAM 2 in its authors' layout, a tiny one with a config of its sizes; and a picture."""
    from transformers import Sam2Model

    exporter, config = fixture_module("anyref-core", "export_sam2"), sam2_config(part, size)
    model = fill(Sam2Model(config))
    matrix = model.shared_image_embedding.positional_embedding
    matrix.normal_(generator=generator)
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(matrix)
    file = folder / "part.pth"
    if size != "full":
        file = folder / "part/sam2.pt"
        file.parent.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(file.parent)
    torch.save({"model": exporter.authors(model)}, file)
    side = config.prompt_encoder_config.image_size
    return torch.randn(1, 3, side, side, generator=generator)


def run_sam2(part, size, folder, data):
    """Embedding of a picture, and the masks of a point in it with their IoU estimates."""
    from transformers import Sam2Model

    config = sam2_config(part, size)
    with torch.device("meta"):
        model = Sam2Model(config).eval()
    path = folder / ("part.pth" if size == "full" else "part/sam2.pt")
    model.load_state_dict(sam2_state(model, torch.load(path, mmap=True)["model"]), assign=True)
    side = config.prompt_encoder_config.image_size
    point = torch.tensor([[[[0.25 * side, 0.5 * side]]]])

    def call():
        levels = model.get_image_embeddings(data)
        answer = model(image_embeddings=levels, input_points=point, multimask_output=True)
        return torch.cat([levels[-1].flatten(), answer.pred_masks.flatten(), answer.iou_scores.flatten()])

    return call


# Tokens of a prompt, and tokens read one by one after it.
PROMPT = 400
NEXT = 16


def llama_config(part, size):
    from transformers import LlamaConfig

    full = {
        "llama": {},
        # TinyLlama's sizes.
        "llama-1b": dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_key_value_heads=4),
    }
    tiny = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=128)
    sizes = full[part.removesuffix("-f32")] if size == "full" else tiny
    dtype = torch.float32 if part.endswith("-f32") else torch.bfloat16
    return LlamaConfig(torch_dtype=dtype, **sizes)


def imagebind(size):
    audio = fixture_module("anyref-audio")
    patches = ((128 - 16) // 10 + 1) * ((204 - 16) // 10 + 1)
    return audio.Encoder(*((768, 12, 12, 1024) if size == "full" else (64, 1, 2, 32)), patches)


# Number of texts embedded in one batch, each padded to the whole context.
TEXTS = 8


def imagebind_text(size):
    """Text tower without values, and the size of its vocabulary."""
    text = fixture_module("anyref-audio", "export_text")
    sizes = (1024, 16, 24, 1024, 49_408) if size == "full" else (64, 1, 2, 32, 128)
    with torch.device("meta"):
        return text.TextTower(*sizes), sizes[-1]


def write_llama(config, folder, shard=2e9):
    """Writes a LLaMA in the layout of `save_pretrained`, with one shard at a time in memory."""
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    shards, size = [[]], 0
    for name, value in model.state_dict().items():
        size += value.numel() * config.torch_dtype.itemsize
        if size > shard:
            shards.append([])
            size = value.numel() * config.torch_dtype.itemsize
        shards[-1].append((name, value.shape))
    weight_map = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        tensors = {}
        for name, shape in names:
            value = torch.empty(shape, dtype=config.torch_dtype)
            tensors[name] = fill_parameter(name, value, generator)
            weight_map[name] = file
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def make_regions(size, folder, generator):
    module, sizes = region_encoder(size)
    torch.save(module.weights(sizes, generator, scale=0.02 if size == "full" else 0.3), folder / "part.pth")
    states = [torch.randn(1, sizes.side**2, sizes.width, generator=generator) for _ in range(sizes.levels)]
    boxes = torch.tensor([[0, 0.1, 0.2, 0.55, 0.9], [0, 0.6, 0.0, 1.0, 0.3]])
    return {"boxes": boxes} | {f"states.{level}": state for level, state in enumerate(states)}


def run_regions(size, folder, data):
    """Features of boxes, from the states of one picture."""
    module, sizes = region_encoder(size)
    weights = torch.load(folder / "part.pth", mmap=True)
    states = [data[f"states.{level}"] for level in range(sizes.levels)]
    return lambda: module.regions(sizes, weights, module.fuse(sizes, weights, states), data["boxes"])


def make(part, size, folder):
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    if part in reference_llava.MODELS:
        save_file(reference_llava.make(part, size, folder, generator), folder / "input.safetensors")
        return
    if part.startswith("sa2va"):
        save_file(reference_sa2va.make(size, folder, generator), folder / "input.safetensors")
        return
    if part == "region-encoder":
        save_file(make_regions(size, folder, generator), folder / "input.safetensors")
        return
    if part == "clip":
        from transformers import CLIPVisionModel

        fill(CLIPVisionModel(clip_config(size))).save_pretrained(folder / "part")
        data = torch.randn(1, 3, 224, 224, generator=generator)
    elif part in SAM2:
        data = make_sam2(part, size, folder, generator)
    elif part.startswith("sam") or part == "mask-decoder":
        from transformers import SamModel

        names = fixture_module("anyref-core").SAM_NAMES
        config, side = sam_config(part, size)
        weights = {}
        for name, value in fill(SamModel(config)).state_dict().items():
            if name == "prompt_encoder.shared_embedding.positional_embedding":
                continue
            for pattern, to in names:
                name = re.sub(pattern, to, name)
            weights[name] = value
        torch.save(weights, folder / "part.pth")
        data = torch.randn(1, 3, side, side, generator=generator)
        if part == "mask-decoder":
            data = torch.randn(1, 256, side // 16, side // 16, generator=generator)
        if part.endswith("-prompts"):
            picture = torch.randint(0, 256, (427, 640, 3), dtype=torch.uint8, generator=generator)
            earlier = 6 * torch.randn(1, side // 4, side // 4, generator=generator)
            save_file({"picture": picture, "earlier": earlier}, folder / "input.safetensors")
            return
    elif part == "imagebind":
        torch.save(fill(imagebind(size)).state_dict(), folder / "part.pth")
        data = torch.randn(1, 3, 1, 128, 204, generator=generator)
    elif part == "imagebind-text":
        model, vocabulary = imagebind_text(size)
        model = fill(model.to_empty(device="cpu"))
        model.tokens.mask.fill_(float("-inf")).triu_(1)
        # Largest scale that is allowed.
        model.scaling[1].log_logit_scale.fill_(100.0).log_()
        torch.save(model.published(), folder / "part.pth")
        # Texts of 3 to 77 tokens between start and end.
        data = torch.randint(1, vocabulary - 2, (TEXTS, 77), generator=generator)
        data[:, 0] = vocabulary - 2
        for row, end in enumerate(torch.linspace(2, 76, TEXTS).int()):
            data[row, end] = vocabulary - 1
            data[row, end + 1 :] = 0
    else:
        config = llama_config(part, size)
        write_llama(config, folder / "part")
        data = torch.randint(0, config.vocab_size, (1, PROMPT), generator=generator)
    save_file({"input": data}, folder / "input.safetensors")


def load_sam(part, size, folder):
    """Image encoder, or the whole SAM for its mask decoder, and the start time of loading."""
    from transformers import SamModel
    from transformers.models.sam.modeling_sam import SamVisionEncoder

    names = fixture_module("anyref-core").SAM_NAMES
    start = time.perf_counter()
    weights = torch.load(folder / "part.pth", mmap=True)
    config, _ = sam_config(part, size)
    if part == "mask-decoder":
        model, prefix = SamModel(config).eval(), ""
    else:
        model, prefix = SamVisionEncoder(config.vision_config).eval(), "vision_encoder."
    same = {"prompt_encoder.shared_embedding": "shared_image_embedding"}
    state = {}
    for name in model.state_dict():
        theirs = prefix + name
        for twin, original in same.items():
            theirs = theirs.replace(twin, original)
        for pattern, to in names:
            theirs = re.sub(pattern, to, theirs)
        state[name] = weights[theirs]
    model.load_state_dict(state, assign=True)
    return model, start


# Points with their labels, box, whether an earlier mask is refined, and whether three masks are
# requested.
PROMPTS = [
    ([[320, 200]], [1], None, False, True),
    ([[320, 200], [90.5, 40]], [1, 0], None, False, False),
    (None, None, [100, 80.5, 500, 390], False, False),
    ([[320, 200]], [0], [100, 80.5, 500, 390], False, False),
    ([[320, 200], [400, 300]], [1, 1], None, True, False),
]


def run_prompts(size, folder, data):
    """Low-resolution logits of all prompts about a picture, and their IoU estimates."""
    from segment_anything import SamPredictor

    model = segmenter(size).eval()
    model.load_state_dict(torch.load(folder / "part.pth", mmap=True), assign=True)
    # It is not among the weights.
    model.pixel_mean = torch.tensor([123.675, 116.28, 103.53]).view(-1, 1, 1)
    model.pixel_std = torch.tensor([58.395, 57.12, 57.375]).view(-1, 1, 1)
    predictor, array = SamPredictor(model), lambda values: None if values is None else np.array(values, np.float32)

    def call():
        predictor.set_image(data["picture"].numpy())
        outputs = []
        for points, labels, box, refine, multimask in PROMPTS:
            earlier = data["earlier"].numpy() if refine else None
            _, estimates, low = predictor.predict(array(points), array(labels), array(box), earlier, multimask)
            outputs += [low.flatten(), estimates]
        return torch.tensor(np.concatenate(outputs))

    return call


def decode_masks(model, embedding):
    side = embedding.shape[-1]
    prompt = embedding.mean(dim=(2, 3)).reshape(1, 1, 1, 256)
    dense = model.prompt_encoder.no_mask_embed.weight.reshape(1, 256, 1, 1).expand(1, 256, side, side)
    positions = model.get_image_wide_positional_embeddings()
    masks = model.mask_decoder(
        image_embeddings=embedding,
        image_positional_embeddings=positions,
        sparse_prompt_embeddings=prompt,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )[0]
    return masks.reshape(1, 1, 4 * side, 4 * side)


def read_on(model, data, steps):
    """Logits of the prompt's last token and of each token after it, with their seconds."""
    cache = None
    logits = []
    for ids in [data, *data[:, :NEXT].split(1, dim=1)]:
        start = time.perf_counter()
        output = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        logits.append(output.logits.float())
        steps.append(time.perf_counter() - start)
    return torch.cat(logits, dim=1)


def run(part, size, folder, times=1, tiles=1):
    data = load_file(folder / "input.safetensors")
    steps = []
    inputs, data = data, data.get("input")
    if part in reference_llava.MODELS:
        start = time.perf_counter()
        call = reference_llava.run(part, size, folder, inputs)
    elif part.startswith("sa2va"):
        start = time.perf_counter()
        dtype = torch.float32 if part.endswith("-f32") else torch.bfloat16
        call = reference_sa2va.run(size, folder, inputs, tiles, dtype)
    elif part == "region-encoder":
        start = time.perf_counter()
        call = run_regions(size, folder, inputs)
    elif part == "sam-h-prompts":
        start = time.perf_counter()
        call = run_prompts(size, folder, inputs)
    elif part in SAM2:
        start = time.perf_counter()
        call = run_sam2(part, size, folder, data)
    elif part == "clip":
        from transformers import CLIPVisionModel

        start = time.perf_counter()
        model = CLIPVisionModel.from_pretrained(folder / "part").eval()
        call = lambda: model(data, output_hidden_states=True).hidden_states[-2][:, 1:]
    elif part.startswith("sam"):
        model, start = load_sam(part, size, folder)
        call = lambda: model(data).last_hidden_state
    elif part == "mask-decoder":
        model, start = load_sam(part, size, folder)
        call = lambda: decode_masks(model, data)
    elif part == "imagebind":
        model = imagebind(size).eval()
        start = time.perf_counter()
        model.load_state_dict(torch.load(folder / "part.pth", mmap=True), assign=True)
        call = lambda: model(data)
    elif part == "imagebind-text":
        model, _ = imagebind_text(size)
        start = time.perf_counter()
        model = model.load_published(torch.load(folder / "part.pth", mmap=True)).eval()
        call = lambda: model(data)
    else:
        from transformers import LlamaForCausalLM

        dtype = llama_config(part, size).torch_dtype
        start = time.perf_counter()
        model = LlamaForCausalLM.from_pretrained(folder / "part", torch_dtype=dtype).eval()
        call = lambda: read_on(model, data, steps)
    seconds = dict(load=time.perf_counter() - start, runs=[])
    for _ in range(times):
        begin = time.perf_counter()
        output = call()
        seconds["runs"].append(time.perf_counter() - begin)
    if steps:
        seconds["runs"] = steps[:: NEXT + 1]
        seconds["steps"] = [step for at, step in enumerate(steps) if at % (NEXT + 1)]
    named = output if isinstance(output, dict) else {"output": output}
    named = {name: value if name == "answer" else value.float().contiguous() for name, value in named.items()}
    save_file(named, folder / "expected.safetensors")
    print(json.dumps(seconds))


if __name__ == "__main__":
    action, part, size, folder, *times = sys.argv[1:]
    with torch.no_grad():
        if action == "make":
            make(part, size, Path(folder))
        else:
            run(part, size, Path(folder), *map(int, times))
