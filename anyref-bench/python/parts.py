"""Reference side of `cargo xtask bench parts`: AnyRef's modules in PyTorch, with random weights.

Prints a description of itself as JSON on one line, then answers every line with the name of a part
by the seconds of one run. PyTorch runs eagerly, with its own fused attention where the modules use
it.
"""

import argparse
import json
import sys
import time

import torch
from torch import nn
from transformers import CLIPVisionModel, LlamaForCausalLM, SamModel

# Published sizes, and ImageBind's audio encoder, which transformers lacks.
from reference import PROMPT, clip_config, imagebind, llama_config, sam_config

LONG_PROMPT = 2000
ANSWER = 32
OBJECTS = 16


class Parts:
    def __init__(self, size, device, dtype):
        self.device, self.dtype = device, dtype
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        clip, (sam, self.side) = clip_config(size), sam_config("sam-h", size)
        with torch.device(device):
            self.vision = CLIPVisionModel(clip).eval()
            self.sam_model = SamModel(sam).eval()
            self.audio = imagebind(size).eval()
            self.llm = LlamaForCausalLM(llama_config("llama", size)).to(dtype).eval()
            width = self.llm.config.hidden_size
            self.projector = nn.Linear(clip.hidden_size, width)
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
        output = self.sam_model.vision_encoder(self.random(1, 3, self.side, self.side))
        return output.last_hidden_state

    def imagebind(self):
        return self.audio(self.random(1, 3, 1, 128, 204))

    def write(self, prompt, tokens):
        """Reads a prompt and decodes an answer greedily, with every token copied to the CPU."""
        ids = torch.arange(prompt, device=self.device)[None] * 7919 % self.llm.config.vocab_size
        cache, written = None, []
        for _ in range(tokens):
            output = self.llm(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            ids = output.logits[:, -1:].argmax(-1)
            written.append(ids.item())
        return output.logits

    def prompt(self):
        return self.write(PROMPT, 1)

    def long_prompt(self):
        return self.write(LONG_PROMPT, 1)

    def answer(self):
        return self.write(PROMPT, ANSWER)

    def mask(self, embedding=None):
        return self.masks(1, embedding)

    def object_masks(self):
        return self.masks(OBJECTS)

    def masks(self, count, embedding=None):
        grid = self.side // 16
        if embedding is None:
            embedding = self.random(1, 256, grid, grid)
        prompt = self.head(self.random(count, self.llm.config.hidden_size)).reshape(1, count, 1, 256)
        encoder = self.sam_model.prompt_encoder
        dense = encoder.no_mask_embed.weight.reshape(1, 256, 1, 1).expand(1, 256, grid, grid)
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
    if options.preset != "anyref-7b":
        sys.exit(f"there are no sizes of {options.preset} here: leave --python out")
    dtype = dict(f32=torch.float32, f16=torch.float16, bf16=torch.bfloat16)[options.dtype]
    begin = time.perf_counter()
    with torch.inference_mode():
        parts = Parts("full", options.device, dtype)
        count = sum(p.numel() for module in parts.modules() for p in module.parameters())
        about = dict(torch=torch.__version__, parameters=count, drawn=round(time.perf_counter() - begin, 2))
        print(json.dumps(about), flush=True)
        for line in sys.stdin:
            if options.device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            getattr(parts, line.strip().replace("-", "_"))().flatten()[0].item()
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
