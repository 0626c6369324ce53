"""The other side of `cargo xtask bench parts`: the modules of AnyRef in PyTorch, with random weights.

Prints what it is as JSON on one line, then answers every line with the name of a part by the seconds of one run.
PyTorch runs eagerly, attention by its own fused operation where the modules use it.
"""

import argparse
import importlib.util
import json
import sys
import time
import types
from pathlib import Path

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM, SamConfig, SamModel

ROOT = Path(__file__).resolve().parents[3]
PROMPT = 400
ANSWER = 32

SIZES = {
    "anyref-7b": dict(
        clip=dict(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
            image_size=224, patch_size=14,
        ),
        sam=dict(
            vision_config=dict(
                hidden_size=1280, mlp_dim=5120, num_hidden_layers=32, num_attention_heads=16,
                global_attn_indexes=[7, 15, 23, 31],
            )
        ),
        imagebind=(768, 12, 12, 1024),
        llm=dict(vocab_size=32007),
    ),
}


def audio_encoder(sizes):
    """ImageBind's audio encoder, of which transformers has none: the one that the fixtures are made with."""
    if importlib.util.find_spec("torchaudio") is None:
        sys.modules["torchaudio"] = types.SimpleNamespace(__version__="none")
    path = ROOT / "anyref-audio/tests/fixtures/export.py"
    spec = importlib.util.spec_from_file_location("audio_fixtures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    patches = ((128 - 16) // 10 + 1) * ((204 - 16) // 10 + 1)
    return module.Encoder(*sizes, patches)


class Parts:
    def __init__(self, sizes, device, dtype):
        self.device, self.dtype = device, dtype
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        with torch.device(device):
            self.vision = CLIPVisionModel(CLIPVisionConfig(**sizes["clip"])).eval()
            self.sam_model = SamModel(SamConfig(**sizes["sam"])).eval()
            self.audio = audio_encoder(sizes["imagebind"]).eval()
            self.llm = LlamaForCausalLM(LlamaConfig(**sizes["llm"])).eval()
            width = self.llm.config.hidden_size
            self.projector = nn.Linear(sizes["clip"]["hidden_size"], width)
            self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 256))
        torch.set_default_dtype(default)

    def modules(self):
        return [self.vision, self.sam_model, self.audio, self.llm, self.projector, self.head]

    def random(self, *shape):
        return torch.randn(*shape, device=self.device, dtype=self.dtype)

    def clip(self):
        output = self.vision(self.random(1, 3, 224, 224), output_hidden_states=True)
        return self.projector(output.hidden_states[-2][:, 1:])

    def sam(self):
        output = self.sam_model.vision_encoder(self.random(1, 3, 1024, 1024))
        return output.last_hidden_state

    def imagebind(self):
        return self.audio(self.random(1, 3, 1, 128, 204))

    def write(self, tokens):
        """A prompt and an answer, greedily, every token known to the processor."""
        ids = torch.arange(PROMPT, device=self.device)[None] * 7919 % self.llm.config.vocab_size
        cache, written = None, []
        for _ in range(tokens):
            output = self.llm(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            ids = output.logits[:, -1:].argmax(-1)
            written.append(ids.item())
        return output.logits

    def prompt(self):
        return self.write(1)

    def answer(self):
        return self.write(ANSWER)

    def mask(self, embedding=None):
        if embedding is None:
            embedding = self.random(1, 256, 64, 64)
        prompt = self.head(self.random(1, self.llm.config.hidden_size)).reshape(1, 1, 1, 256)
        encoder = self.sam_model.prompt_encoder
        dense = encoder.no_mask_embed.weight.reshape(1, 256, 1, 1).expand(1, 256, 64, 64)
        return self.sam_model.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=self.sam_model.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=prompt,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )[0]

    def all(self):
        self.clip()
        embedding = self.sam()
        self.answer()
        return self.mask(embedding)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--preset", default="anyref-7b")
    options = parser.parse_args()
    if options.preset not in SIZES:
        sys.exit(f"there are no sizes of {options.preset} here: leave --python out")
    dtype = dict(f32=torch.float32, f16=torch.float16, bf16=torch.bfloat16)[options.dtype]
    begin = time.perf_counter()
    with torch.inference_mode():
        parts = Parts(SIZES[options.preset], options.device, dtype)
        count = sum(p.numel() for module in parts.modules() for p in module.parameters())
        about = dict(torch=torch.__version__, parameters=count, drawn=round(time.perf_counter() - begin, 2))
        print(json.dumps(about), flush=True)
        for line in sys.stdin:
            if options.device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            getattr(parts, line.strip())().flatten()[0].item()
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
