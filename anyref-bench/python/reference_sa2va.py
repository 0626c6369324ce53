"""Sa2VA over InternVL in its authors' layout: from a picture and a question to words and masks."""

import json
import re
import shutil

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from reference_sizes import fill_parameter, fixture_module, sam2_config, sam2_state

# What `export_sa2va.py` calls the sizes of Sa2VA-1B, and those of a tiny one whose picture has the same shape.
FULL = dict(
    SIDE=448, PATCH=14, WIDTH=1333, HEIGHT=1000, OUT=256, MASK_SIDE=1024,
    VISION=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16),
    TEXT=dict(
        hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        max_position_embeddings=32768, rms_norm_eps=1e-6, hidden_act="silu",
    ),
)
TINY = dict(WIDTH=80, HEIGHT=60)
VOCABULARY = 151_679
# Columns and rows of tiles that are nearest to the picture where so many are allowed.
GRIDS = {1: (1, 1), 4: (2, 2), 12: (4, 3)}


class Sizes:
    """The exporter at a size, with its tokenizer."""

    def __init__(self, size):
        from transformers import AutoTokenizer, Sam2Config

        self.full = size == "full"
        self.exporter = fixture_module("anyref-core", "export_sa2va")
        vars(self.exporter).update(FULL if self.full else TINY)
        self.sam = sam2_config("sam2-l", size) if self.full else Sam2Config(**self.exporter.SAM)
        self.tokenizer = AutoTokenizer.from_pretrained(self.exporter.TOKENIZER)
        self.vocabulary = VOCABULARY if self.full else len(self.tokenizer)
        self.context = self.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")

    def empty(self):
        """InternVL and SAM 2 without values, but for what is computed and not stored."""
        from transformers import Sam2Model

        with torch.device("meta"):
            model = self.exporter.internvl(self.vocabulary, self.context, "sdpa")
            sam = Sam2Model(self.sam).eval()
        language = model.model.language_model
        language.rotary_emb = type(language.rotary_emb)(language.config)
        return model, sam

    def question(self, features):
        """Ids of the question about a picture of so many features."""
        picture = "<img>" + "<IMG_CONTEXT>" * len(features) + "</img>"
        return self.tokenizer.encode(
            self.exporter.START + picture + self.exporter.QUESTION_WHOLE + self.exporter.END
        )

    def features(self, model, image, tiles):
        """Tokens of a picture as the language model reads them."""
        pixels = self.exporter.pixels(image, *GRIDS[tiles]).to(model.dtype)
        found = model.model.get_image_features(pixels)
        found = found if torch.is_tensor(found) else found.pooler_output
        return found.reshape(-1, self.exporter.TEXT["hidden_size"])

    def embed(self, model, ids, features):
        ids = torch.tensor([ids])
        embedded = model.get_input_embeddings()(ids).clone()
        embedded[ids == self.context] = features
        return embedded


def drawn(module, generator, dtype):
    """The module with random weights; layer scales leave every layer an effect."""
    module = module.to(dtype).to_empty(device="cpu")
    for name, parameter in module.named_parameters():
        if "lambda" in name:
            parameter.fill_(0.2)
        else:
            fill_parameter(name, parameter, generator)
    return module


def make(size, folder, generator):
    """Writes the folder, whose output head answers the question as that of the tests, and a picture."""
    sizes = Sizes(size)
    exporter, tokenizer = sizes.exporter, sizes.tokenizer
    model, sam = sizes.empty()
    rotary = model.model.language_model.rotary_emb
    model = drawn(model, generator, torch.bfloat16)
    model.model.language_model.rotary_emb = type(rotary)(rotary.config)
    image = exporter.picture()
    answer = tokenizer.encode(exporter.ANSWER_WHOLE)
    states, tokens = [], []
    for tiles in GRIDS:
        features = sizes.features(model, image, tiles)
        asked = sizes.question(features)
        embedded = sizes.embed(model, asked + answer, features)
        hidden = model.model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state[0]
        states.append(hidden[len(asked) - 1 : -1].float())
        tokens += answer
    head = model.lm_head.weight.float()
    exporter.teach(head, torch.cat(states), tokens)
    model.lm_head.weight.copy_(head)
    part = folder / "part"
    part.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(exporter.TOKENIZER / name, part / name)
    config = exporter.config(sizes.vocabulary) | dict(torch_dtype="bfloat16")
    if sizes.full:
        # Their SAM 2 is the large one, of which it says nothing.
        del config["grounding_encoder_config"]
    (part / "config.json").write_text(json.dumps(config, indent=1))
    tensors = exporter.published(model)
    out, hidden = exporter.OUT, exporter.TEXT["hidden_size"]
    for name, shape in {"0.weight": (hidden, hidden), "0.bias": (hidden,), "2.weight": (out, hidden), "2.bias": (out,)}.items():
        value = torch.empty(shape, dtype=torch.bfloat16)
        tensors[f"text_hidden_fcs.{name}"] = fill_parameter(name, value, generator)
    sam = drawn(sam, generator, torch.bfloat16)
    matrix = sam.shared_image_embedding.positional_embedding
    matrix.normal_(generator=generator)
    sam.prompt_encoder.shared_embedding.positional_embedding.copy_(matrix)
    for name, value in (exporter.authors(sam) | exporter.video()).items():
        tensors[f"grounding_encoder.sam2_model.{name}"] = value.bfloat16()
    tensors = {name: value.detach().contiguous() for name, value in tensors.items()}
    save_file(tensors, part / "model.safetensors", {"format": "pt"})
    # The ids around the tokens of a picture, whose number is that of its tiles.
    start = asked.index(sizes.context)
    before, after = asked[:start], asked[start + len(features) :]
    return dict(picture=torch.from_numpy(np.array(image)), before=torch.tensor(before), after=torch.tensor(after))


def internvl_state(model, weights, layers):
    """Weights under transformers' names, from the authors'."""
    rows = {"q": 0, "k": 1, "v": 2}
    names = [
        (r"\.embeddings\.cls_token$", ".embeddings.class_embedding"),
        (r"\.embeddings\.position_embeddings$", ".embeddings.position_embedding"),
        (r"\.patch_embeddings\.projection\.", ".patch_embedding."),
        (r"\.lambda_(\d)$", r".ls\1"),
        *[(rf"\.{re.escape(theirs)}\.", f".{ours}.") for theirs, ours in layers.items()],
        (r"^(?:model\.)?vision_tower\.encoder\.layer\.", "vision_model.encoder.layers."),
        (r"^(?:model\.)?vision_tower\.", "vision_model."),
        (r"^(?:model\.)?multi_modal_projector\.layer_norm\.", "mlp1.0."),
        (r"^(?:model\.)?multi_modal_projector\.linear_1\.", "mlp1.1."),
        (r"^(?:model\.)?multi_modal_projector\.linear_2\.", "mlp1.3."),
        (r"^(?:model\.)?language_model\.", "language_model.model."),
        (r"^lm_head\.", "language_model.lm_head."),
    ]
    state = {}
    for name in model.state_dict():
        theirs = name
        for pattern, to in names:
            theirs = re.sub(pattern, to, theirs)
        part = re.search(r"\.attention\.([qkv])_proj\.", theirs) if theirs.startswith("vision_model.") else None
        if part:
            joined = weights[theirs.replace(part.group(), ".attn.qkv.")]
            state[name] = joined.chunk(3)[rows[part.group(1)]].contiguous()
        else:
            state[name] = weights[theirs]
    return state


def run(size, folder, data, tiles, dtype):
    """Loads the model; answers the question about the picture, token by token, with the masks of the answer."""
    from PIL import Image

    sizes = Sizes(size)
    exporter, tokenizer = sizes.exporter, sizes.tokenizer
    weights = load_file(folder / "part/model.safetensors")
    weights = {name: value.to(dtype) for name, value in weights.items()}
    model, sam = sizes.empty()
    model.load_state_dict(internvl_state(model, weights, exporter.LAYER), assign=True)
    prefix = "grounding_encoder.sam2_model."
    theirs = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    sam.load_state_dict(sam2_state(sam, theirs), assign=True)
    image = Image.fromarray(data["picture"].numpy())
    end, seg = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "[SEG]"))
    linear = lambda x, name: torch.nn.functional.linear(
        x, weights[f"text_hidden_fcs.{name}.weight"], weights[f"text_hidden_fcs.{name}.bias"]
    )

    def call():
        features = sizes.features(model, image, tiles)
        embedded = sizes.embed(model, sizes.question(features), features)
        cache, first, answer, own = None, None, [], []
        while True:
            output = model.model.language_model(inputs_embeds=embedded, past_key_values=cache, use_cache=True)
            cache, state = output.past_key_values, output.last_hidden_state[0, -1]
            if answer and answer[-1] == seg:
                own.append(state)
            logits = model.lm_head(state)
            first = logits if first is None else first
            token = int(logits.argmax())
            if token == end:
                break
            answer.append(token)
            embedded = model.get_input_embeddings()(torch.tensor([[token]]))
        assert tokenizer.decode(answer) + "<|im_end|>" == exporter.ANSWER_WHOLE, tokenizer.decode(answer)
        prompts = linear(torch.relu(linear(torch.stack(own), "0")), "2")
        low, scores, _ = exporter.masks(sam, image, prompts)
        found = {"picture tokens": features, "logits": first, "object prompts": prompts, "masks": low, "scores": scores}
        return found | dict(answer=torch.tensor(answer))

    return call
