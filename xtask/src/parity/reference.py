"""The reference's side of `cargo xtask parity`.

    python reference.py make PART SIZE FOLDER    writes a part with random weights as it is published, and an input
    python reference.py run  PART SIZE FOLDER    loads it, computes, writes the output, prints seconds as JSON

PART is clip, sam-b, sam-h, imagebind or llama; SIZE is full or tiny.
"""

import importlib.util
import json
import re
import sys
import time
import types
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[3]


def fixture_module(crate):
    """The exporter of a crate's fixtures, which knows names and reference modules."""
    if importlib.util.find_spec("torchaudio") is None:
        # Only the spectrograms of that file need it.
        sys.modules["torchaudio"] = types.SimpleNamespace(__version__="none")
    path = ROOT / crate / "tests/fixtures/export.py"
    spec = importlib.util.spec_from_file_location(crate.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clip_config(size):
    from transformers import CLIPVisionConfig

    tiny = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=2)
    full = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16)
    return CLIPVisionConfig(image_size=224, patch_size=14, **(full if size == "full" else tiny))


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
    vision = full[part] if size == "full" else tiny
    side = vision.get("image_size", 1024)
    return SamConfig(vision_config=vision, prompt_encoder_config=dict(image_size=side)), side


def llama_config(size):
    from transformers import LlamaConfig

    tiny = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                vocab_size=128)
    return LlamaConfig(torch_dtype="bfloat16", **({} if size == "full" else tiny))


def imagebind(size):
    audio = fixture_module("anyref-audio")
    patches = ((128 - 16) // 10 + 1) * ((204 - 16) // 10 + 1)
    return audio.Encoder(*((768, 12, 12, 1024) if size == "full" else (64, 1, 2, 32)), patches)


def fill(model):
    """Random weights in which every layer counts and nothing overflows."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            parameter.fill_(1.0)
        elif parameter.ndim < 2:
            parameter.normal_(0, 0.02, generator=generator)
        else:
            spread = 1.0 if "embed" in name else parameter[0].numel() ** -0.5
            parameter.normal_(0, spread, generator=generator)
    return model.eval()


def make(part, size, folder):
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    if part == "clip":
        from transformers import CLIPVisionModel

        fill(CLIPVisionModel(clip_config(size))).save_pretrained(folder / "part")
        data = torch.randn(1, 3, 224, 224, generator=generator)
    elif part.startswith("sam"):
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
    elif part == "imagebind":
        torch.save(fill(imagebind(size)).state_dict(), folder / "part.pth")
        data = torch.randn(1, 3, 1, 128, 204, generator=generator)
    else:
        from transformers import LlamaForCausalLM

        config = llama_config(size)
        torch.set_default_dtype(torch.bfloat16)
        model = fill(LlamaForCausalLM(config))
        model.save_pretrained(folder / "part", max_shard_size="5GB")
        data = torch.randint(0, config.vocab_size, (1, 32), generator=generator)
    save_file({"input": data}, folder / "input.safetensors")


def run(part, size, folder):
    data = load_file(folder / "input.safetensors")["input"]
    if part == "clip":
        from transformers import CLIPVisionModel

        start = time.perf_counter()
        model = CLIPVisionModel.from_pretrained(folder / "part").eval()
        call = lambda: model(data, output_hidden_states=True).hidden_states[-2][:, 1:]
    elif part.startswith("sam"):
        from transformers.models.sam.modeling_sam import SamVisionEncoder

        names = fixture_module("anyref-core").SAM_NAMES
        start = time.perf_counter()
        weights = torch.load(folder / "part.pth", mmap=True)
        model = SamVisionEncoder(sam_config(part, size)[0].vision_config).eval()
        state = {}
        for name in model.state_dict():
            theirs = f"vision_encoder.{name}"
            for pattern, to in names:
                theirs = re.sub(pattern, to, theirs)
            state[name] = weights[theirs]
        model.load_state_dict(state, assign=True)
        call = lambda: model(data).last_hidden_state
    elif part == "imagebind":
        model = imagebind(size).eval()
        start = time.perf_counter()
        model.load_state_dict(torch.load(folder / "part.pth", mmap=True), assign=True)
        call = lambda: model(data)
    else:
        from transformers import LlamaForCausalLM

        start = time.perf_counter()
        model = LlamaForCausalLM.from_pretrained(folder / "part", torch_dtype="bfloat16").eval()
        call = lambda: model(data).logits.float()
    loaded = time.perf_counter()
    output = call()
    seconds = dict(load=loaded - start, run=time.perf_counter() - loaded)
    save_file({"output": output.float().contiguous()}, folder / "expected.safetensors")
    print(json.dumps(seconds))


if __name__ == "__main__":
    with torch.no_grad():
        dict(make=make, run=run)[sys.argv[1]](sys.argv[2], sys.argv[3], Path(sys.argv[4]))
