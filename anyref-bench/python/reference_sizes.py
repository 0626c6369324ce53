"""Published sizes of the parts that several models have, and random weights for them."""

import importlib.util
import re
import sys
import types
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]


def fixture_module(crate, exporter="export"):
    """Imports an exporter of a crate's fixtures, which has names and reference modules."""
    missing = "torchaudio" not in sys.modules and importlib.util.find_spec("torchaudio") is None
    if missing:
        # Only the spectrograms of that file need it.
        sys.modules["torchaudio"] = types.SimpleNamespace(__version__="none")
    path = ROOT / crate / f"tests/fixtures/{exporter}.py"
    # Exporters import their neighbours.
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(crate.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(path.parent))
    if missing:
        # Other libraries check whether it is installed.
        del sys.modules["torchaudio"]
    return module


def clip_config(size):
    from transformers import CLIPVisionConfig

    tiny = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=2)
    full = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16)
    return CLIPVisionConfig(image_size=224, patch_size=14, **(full if size == "full" else tiny))


# Trunks of the published sizes other than the smallest.
SAM2 = {
    "sam2-t": {},
    "sam2-s": dict(blocks_per_stage=[1, 2, 11, 2], global_attention_blocks=[7, 10, 13]),
    "sam2-b": dict(
        hidden_size=112, blocks_per_stage=[2, 3, 16, 3], embed_dim_per_stage=[112, 224, 448, 896],
        num_attention_heads=2, num_attention_heads_per_stage=[2, 4, 8, 16], global_attention_blocks=[12, 16, 20],
        window_positional_embedding_background_size=[14, 14],
    ),
    "sam2-l": dict(
        hidden_size=144, blocks_per_stage=[2, 6, 36, 4], embed_dim_per_stage=[144, 288, 576, 1152],
        num_attention_heads=2, num_attention_heads_per_stage=[2, 4, 8, 16], global_attention_blocks=[23, 33, 43],
        window_size_per_stage=[8, 4, 16, 8],
    ),
}


def sam2_config(part, size):
    from transformers import Sam2Config

    if size != "full":
        return Sam2Config(**fixture_module("anyref-core", "export_sam2").TINY)
    trunk = SAM2[part]
    vision = dict(backbone_config=dict(model_type="sam2_hiera_det_model", **trunk))
    if trunk.get("embed_dim_per_stage"):
        vision["backbone_channel_list"] = trunk["embed_dim_per_stage"][::-1]
    return Sam2Config(vision_config=vision)


def sam2_state(model, weights):
    """Weights under transformers' names, from the authors'."""
    names, state = fixture_module("anyref-core", "export_sam2").SAM2_NAMES, {}
    for name in model.state_dict():
        theirs = name.replace("prompt_encoder.shared_embedding", "shared_image_embedding")
        if name == "prompt_encoder.point_embed.weight":
            rows = [weights[f"sam_prompt_encoder.point_embeddings.{row}.weight"] for row in range(4)]
            state[name] = torch.cat(rows)
            continue
        for pattern, to in names:
            theirs = re.sub(pattern, to, theirs)
        state[name] = weights[theirs]
    return state


def fill(model):
    """Random weights with which every layer has an effect and nothing overflows."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        fill_parameter(name, parameter, generator)
    return model.eval()


def fill_parameter(name, parameter, generator):
    if "norm" in name and name.endswith("weight"):
        return parameter.fill_(1.0)
    if parameter.ndim < 2:
        return parameter.normal_(0, 0.02, generator=generator)
    spread = 1.0 if "embed" in name else parameter[0].numel() ** -0.5
    return parameter.normal_(0, spread, generator=generator)


def segmenter(size):
    """SAM of its authors, without values."""
    from functools import partial

    from segment_anything import build_sam_vit_h
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    with torch.device("meta"):
        if size == "full":
            return build_sam_vit_h()
        return Sam(
            ImageEncoderViT(
                depth=2, embed_dim=32, img_size=256, mlp_ratio=1.5, num_heads=2, patch_size=16, qkv_bias=True,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, global_attn_indexes=[1],
                window_size=14, out_chans=256,
            ),
            PromptEncoder(embed_dim=256, image_embedding_size=(16, 16), input_image_size=(256, 256), mask_in_chans=16),
            MaskDecoder(
                num_multimask_outputs=3,
                transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
                transformer_dim=256,
            ),
        )


def region_encoder(size, **tiny):
    """The module that knows GLaMM's region encoder, and its sizes; `tiny` are those of a tiny one."""
    module = fixture_module("anyref-vision", "export_region_encoder")
    full = dict(width=1024, groups=64, rounds=5, roi=14, place=256, region=1024, out=4096)
    # Of few channels each is a group by itself.
    return module, module.Sizes(side=24, box=224.0, cell=14.0, **(full if size == "full" else dict(groups=8) | tiny))
