"""LISA and GLaMM: a LLaVA, a SAM, and GLaMM's region encoder, in their authors' layouts."""

import json
import shutil

import torch

from reference_sizes import ROOT, clip_config, fill, fill_parameter, region_encoder, segmenter

# Folder of the fixtures whose tokenizer and config fit, name of SAM in the weights, and the ids that stand around a
# picture.
LISA = dict(fixture="lisa", sam="visual_model", start=421, end=422)
GLAMM = dict(fixture="glamm", sam="grounding_encoder", start=420, end=421, region=422)
MODELS = {"lisa-7b": LISA, "glamm": GLAMM}
# Layers of GLaMM's language model at full size, of 32, so that it fits beside its other parts.
GLAMM_LAYERS = 4
# A region as shares of the whole picture, with the number of its picture.
BOX = [0, 0.1, 0.2, 0.55, 0.9]


def tower_config(part, size):
    tower = clip_config(size)
    if part == "glamm":
        tower.image_size = 336
        if size != "full":
            # Four levels, three layers apart.
            tower.num_hidden_layers = 10
    return tower


def regions_of(size):
    """The module of GLaMM's region encoder, and its sizes in a whole model."""
    return region_encoder(size) if size == "full" else region_encoder(size, width=64, groups=64, out=64)


def language_config(part, size):
    """Language model and SAM, without values."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = dict(vocab_size=32_003 if part == "lisa-7b" else 32_007, max_position_embeddings=2048)
    if part == "glamm":
        sizes["num_hidden_layers"] = GLAMM_LAYERS
    if size != "full":
        sizes = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
        sizes["vocab_size"] = 423 if part == "lisa-7b" else 427
    config = LlamaConfig(torch_dtype=torch.bfloat16, rms_norm_eps=1e-6, **sizes)
    with torch.device("meta"):
        language = LlamaForCausalLM(config)
    return config, language, segmenter(size)


def make(part, size, folder, generator):
    """Writes the folder in its authors' layout, its CLIP beside it, and an input."""
    from transformers import CLIPVisionModel

    model = MODELS[part]
    config, language, sam = language_config(part, size)
    tower = tower_config(part, size)
    fill(CLIPVisionModel(tower)).save_pretrained(folder / "clip")
    to = folder / "part"
    to.mkdir(parents=True, exist_ok=True)
    # A tokenizer with another vocabulary, whose ids fit.
    fixture = ROOT / "anyref-core/tests/fixtures" / model["fixture"]
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        shutil.copy(fixture / name, to / name)
    hidden = config.hidden_size
    shapes = {name: value.shape for name, value in language.state_dict().items()}
    layers = [("mm_projector", hidden, tower.hidden_size)]
    if part == "glamm":
        layers = [("mm_projector.0", hidden, tower.hidden_size), ("mm_projector.2", hidden, hidden)]
    for name, out, inner in layers + [("text_hidden_fcs.0.0", hidden, hidden), ("text_hidden_fcs.0.2", 256, hidden)]:
        shapes |= {f"model.{name}.weight": (out, inner), f"model.{name}.bias": (out,)}
    shapes |= {f"model.{model['sam']}.{name}": value.shape for name, value in sam.state_dict().items()}
    regions = {}
    if part == "glamm":
        module, sizes = regions_of(size)
        regions = module.weights(sizes, generator, scale=0.02 if size == "full" else 0.1)
        shapes |= {name: value.shape for name, value in regions.items()}
    write_shards(shapes, regions, to, generator)
    fields = json.loads((fixture / "config.json").read_text())
    for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                 "num_key_value_heads", "max_position_embeddings", "rms_norm_eps"):
        fields[name] = getattr(config, name)
    fields |= dict(mm_hidden_size=tower.hidden_size, out_dim=256)
    (to / "config.json").write_text(json.dumps(fields, indent=2))
    # The opening, a picture between its markers, and a question.
    words = lambda count: torch.randint(3, 420, (1, count), generator=generator)
    side = sam.image_encoder.img_size
    after = [torch.tensor([[model["end"]]]), words(24)]
    if part == "glamm":
        after += [torch.tensor([[model["region"]]]), words(5)]
    return dict(
        before=torch.cat([torch.tensor([[1]]), words(35), torch.tensor([[model["start"]]])], 1),
        after=torch.cat(after, 1),
        clip=torch.randn(1, 3, tower.image_size, tower.image_size, generator=generator),
        sam=torch.randn(1, 3, side, side, generator=generator),
        boxes=torch.tensor([BOX]),
    )


def write_shards(shapes, drawn, folder, generator, most=4e9):
    """Writes random weights in 16 bits but for those already drawn, with one shard at a time in memory."""
    shards, size = [[]], 0
    for name, shape in shapes.items():
        size += 2 * torch.Size(shape).numel()
        if size > most:
            shards.append([])
            size = 2 * torch.Size(shape).numel()
        shards[-1].append(name)
    weight_map = {}
    for number, names in enumerate(shards, 1):
        file = f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
        tensors = {}
        for name in names:
            if name in drawn:
                tensors[name] = drawn[name].bfloat16()
            else:
                value = torch.empty(shapes[name], dtype=torch.bfloat16)
                tensors[name] = fill_parameter(name, value, generator)
            weight_map[name] = file
        torch.save(tensors, folder / file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def run(part, size, folder, data):
    """Loads the model with its weights; computes the logits and the mask of a state, and features of a region."""
    from transformers import CLIPVisionModel

    config, language, sam = language_config(part, size)
    weights = {}
    for file in sorted((folder / "part").glob("*.bin")):
        weights |= torch.load(file, mmap=True)
    inner = lambda prefix: {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
    own = language.state_dict().keys()
    language.load_state_dict({name: weights[name] for name in own}, assign=True)
    sam.load_state_dict(inner(f"model.{MODELS[part]['sam']}."), assign=True)
    # Positions of the grid are computed in 32 bits, so the frequencies must be f32 too.
    positions = sam.prompt_encoder.pe_layer
    positions.positional_encoding_gaussian_matrix = positions.positional_encoding_gaussian_matrix.float()
    # Computed, not stored.
    language.model.rotary_emb = type(language.model.rotary_emb)(config)
    tower = CLIPVisionModel.from_pretrained(folder / "clip", torch_dtype=torch.bfloat16).eval()
    language, sam = language.eval(), sam.eval()
    head, projector, drawn = inner("model.text_hidden_fcs.0."), inner("model.mm_projector."), {}
    linear = lambda x, layers, name: torch.nn.functional.linear(x, layers[name + "weight"], layers[name + "bias"])
    if part == "glamm":
        module, sizes = regions_of(size)
        drawn = {name: value.float() for name, value in weights.items() if name.startswith(module.PREFIX)}

    def call():
        states = tower(data["clip"].bfloat16(), output_hidden_states=True).hidden_states
        features, regions = states[-2][:, 1:], {}
        embed = language.get_input_embeddings()
        after = embed(data["after"])
        if part == "glamm":
            image = linear(torch.nn.functional.gelu(linear(features, projector, "0.")), projector, "2.")
            levels = [state[:, 1:].float() for state in states[-2::-3][::-1][-sizes.levels :]]
            region = module.regions(sizes, drawn, module.fuse(sizes, drawn, levels), data["boxes"])
            after = torch.where((data["after"] == GLAMM["region"])[..., None], region.to(after.dtype)[None], after)
            regions["regions"] = region
        else:
            image = linear(features, projector, "")
        sequence = torch.cat([embed(data["before"]), image, after], 1)
        state = language.model(inputs_embeds=sequence).last_hidden_state[:, -1]
        prompt = linear(torch.relu(linear(state, head, "0.")), head, "2.")
        embedding = sam.image_encoder(data["sam"].bfloat16())
        masks, _ = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe().to(torch.bfloat16),
            sparse_prompt_embeddings=prompt[:, None],
            dense_prompt_embeddings=sam.prompt_encoder(points=None, boxes=None, masks=None)[1],
            multimask_output=False,
        )
        return dict(logits=language.lm_head(state).flatten(), masks=masks) | regions

    return call
