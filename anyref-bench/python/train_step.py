"""One instruction step of AnyRef nano in PyTorch, for `cargo xtask bench train-step`.

The parts, sizes, losses and optimizer are those of the `nano` preset and of the `instruct` stage;
the data are random, in the sizes of a batch of its scenes and their questions, or in proportion.
Weights are random, because only time is measured.

Reads a number of steps a line and answers with the seconds of each as a JSON list, until the input
ends.
"""

import argparse
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

NAMES = 300

class Attention(nn.Module):
    """Bidirectional self-attention with one projection for queries, keys and values."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(batch, length, width))


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width, heads, activation):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), activation, nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Clip(nn.Module):
    """CLIP's vision tower up to the layer that is used: 5 of 6 blocks."""

    def __init__(self, size=192, patch=12, width=192, heads=4, blocks=5):
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, patch, bias=False)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn((size // patch) ** 2 + 1, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(Block(width, heads, QuickGelu()) for _ in range(blocks)))

    def forward(self, pixels):
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], 1)
        return self.blocks(self.norm(x + self.positions))[:, 1:]


class Sound(nn.Module):
    """ImageBind's audio encoder."""

    def __init__(self, width=128, heads=4, blocks=4, output=128):
        super().__init__()
        self.patch = nn.Conv2d(1, width, 16, 16, bias=False)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(8 * 12 + 1, width) * 0.02)
        self.norm, self.head_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(Block(width, heads, nn.GELU()) for _ in range(blocks)))
        self.head = nn.Linear(width, output, bias=False)

    def forward(self, clips):
        sounds, count = clips.shape[:2]
        x = self.norm(self.patch(clips.flatten(0, 1)).flatten(2).transpose(1, 2))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], 1) + self.positions
        x = self.head(self.head_norm(self.blocks(x)[:, 0]))
        return (F.normalize(x, dim=-1) * 20.0).view(sounds, count, -1)


class SamAttention(nn.Module):
    """Attention with decomposed relative positions."""

    def __init__(self, width, heads, side):
        super().__init__()
        self.heads, self.side = heads, side
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rows = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.columns = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        offset = torch.arange(side)
        self.register_buffer("offset", offset[:, None] - offset[None, :] + side - 1)

    def forward(self, x):
        batch, side, _, width = x.shape
        q, k, v = self.qkv(x).view(batch, side * side, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        grid = q.reshape(batch * self.heads, side, side, -1)
        rows = torch.einsum("bhwc,hkc->bhwk", grid, self.rows[self.offset])
        columns = torch.einsum("bhwc,wkc->bhwk", grid, self.columns[self.offset])
        bias = (rows[..., :, None] + columns[..., None, :]).reshape(
            batch, self.heads, side * side, side * side
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(y.transpose(1, 2).reshape(batch, side, side, width))


class SamBlock(nn.Module):
    def __init__(self, width, heads, grid, window):
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.attention = SamAttention(width, heads, window or grid)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, side, _, width = x.shape
        y = self.norm1(x)
        if self.window:
            n, w = side // self.window, self.window
            y = y.view(batch, n, w, n, w, width).transpose(2, 3).reshape(-1, w, w, width)
            y = self.attention(y)
            y = y.view(batch, n, n, w, w, width).transpose(2, 3).reshape(x.shape)
        else:
            y = self.attention(y)
        x = x + y
        return x + self.mlp(self.norm2(x))


class LayerNorm2d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class SamEncoder(nn.Module):
    def __init__(self, size=256, patch=8, width=192, heads=4, output=128, window=8):
        super().__init__()
        grid = size // patch
        self.patch = nn.Conv2d(3, width, patch, patch)
        self.positions = nn.Parameter(torch.zeros(grid, grid, width))
        windows = [0 if index in (1, 2, 4, 5) else window for index in range(6)]
        self.blocks = nn.Sequential(*(SamBlock(width, heads, grid, w) for w in windows))
        self.neck = nn.Sequential(
            nn.Conv2d(width, output, 1, bias=False),
            LayerNorm2d(output),
            nn.Conv2d(output, output, 3, padding=1, bias=False),
            LayerNorm2d(output),
        )

    def forward(self, pixels):
        x = self.patch(pixels).permute(0, 2, 3, 1) + self.positions
        return self.neck(self.blocks(x).permute(0, 3, 1, 2))


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotate(x, start):
    length, width = x.shape[-2:]
    frequency = 10_000 ** (-torch.arange(0, width, 2) / width)
    angle = torch.arange(start, start + length)[:, None] * frequency
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    half = torch.cat([-x[..., width // 2 :], x[..., : width // 2]], -1)
    return x * cos + half * sin


class LlamaLayer(nn.Module):
    def __init__(self, width, inner, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x, past, mask):
        batch, length, width = x.shape
        y = self.norm1(x)
        q, k, v = (
            layer(y).view(batch, length, self.heads, -1).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        start = past[0].shape[2] if past else 0
        q, k = rotate(q, start), rotate(k, start)
        if past:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + self.o(y.transpose(1, 2).reshape(batch, length, width))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y)), q, k, v


class Llama(nn.Module):
    def __init__(self, vocabulary=1304, width=192, inner=512, heads=4, layers=4):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(LlamaLayer(width, inner, heads) for _ in range(layers))
        self.norm = RmsNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, x, cache=None, mask=None):
        """Returns the last states, the last layer's queries and keys, and the cache."""
        grown = []
        for index, layer in enumerate(self.layers):
            x, q, k, v = layer(x, cache[index] if cache else None, mask)
            grown.append((k, v))
        return self.norm(x), q, k, grown


class Cross(nn.Module):
    """Attention between prompts and picture, narrower inside."""

    def __init__(self, width, heads, rate):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width // rate) for _ in range(3))
        self.o = nn.Linear(width // rate, width)

    def forward(self, q, k, v):
        q, k, v = (
            layer(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for layer, x in ((self.q, q), (self.k, k), (self.v, v))
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).flatten(2))


class TwoWayBlock(nn.Module):
    def __init__(self, width, heads, inner, first):
        super().__init__()
        self.first = first
        self.self_attention = Cross(width, heads, 1)
        self.to_image, self.to_tokens = Cross(width, heads, 2), Cross(width, heads, 2)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))

    def forward(self, tokens, image, token_pe, image_pe):
        if self.first:
            tokens = self.self_attention(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attention(q, q, tokens)
        tokens = self.norms[0](tokens)
        placed = image + image_pe
        tokens = self.norms[1](tokens + self.to_image(tokens + token_pe, placed, image))
        tokens = self.norms[2](tokens + self.mlp(tokens))
        image = self.norms[3](image + self.to_tokens(placed, tokens + token_pe, tokens))
        return tokens, image


def mlp(*widths):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class MaskDecoder(nn.Module):
    def __init__(self, width=128, heads=8, inner=512, grid=32):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(5, width))
        self.no_mask = nn.Parameter(torch.randn(width))
        self.register_buffer("image_pe", torch.randn(grid * grid, width))
        self.blocks = nn.ModuleList(TwoWayBlock(width, heads, inner, i == 0) for i in range(2))
        self.last = Cross(width, heads, 2)
        self.norm = nn.LayerNorm(width)
        self.upscale = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.hyper = mlp(width, width, width, width // 8)
        self.iou = mlp(width, 128, 128, 4)

    def forward(self, image, prompts):
        count, width, side, _ = image.shape
        image = image.flatten(2).transpose(1, 2) + self.no_mask
        pe = torch.cat([self.tokens.expand(count, -1, -1), prompts[:, None]], 1)
        tokens = pe
        for block in self.blocks:
            tokens, image = block(tokens, image, pe, self.image_pe)
        tokens = self.norm(tokens + self.last(tokens + pe, image + self.image_pe, image))
        image = self.upscale(image.transpose(1, 2).reshape(count, width, side, side))
        masks = torch.einsum("nc,nchw->nhw", self.hyper(tokens[:, 1]), image)
        return masks, self.iou(tokens[:, 0])[:, 0]


class AnyRef(nn.Module):
    def __init__(self, train_vision, train_sam, vocabulary, width=192, decoder=128):
        super().__init__()
        self.clip, self.sound, self.image_encoder = Clip(), Sound(), SamEncoder()
        self.projector = nn.Linear(width, width)
        self.sound_projector = nn.Linear(128, width)
        self.box_projector = nn.Linear(4, width)
        self.llm = Llama(vocabulary)
        self.object_head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, decoder))
        self.mask_decoder = MaskDecoder()
        self.region_norm = nn.LayerNorm(width)
        self.region_head = nn.Linear(width, width, bias=False)
        self.names = nn.Parameter(torch.randn(NAMES, width) * 0.02)
        self.logit_scale = nn.Parameter(torch.tensor(2.66))
        self.sound.requires_grad_(False)
        self.clip.requires_grad_(train_vision)
        self.image_encoder.requires_grad_(train_sam)

    def forward(self, data):
        sizes = data["sizes"]
        features = self.clip(data["clip"])
        picture = self.projector(features)
        # References: pictures and boxes become 4 tokens each, sounds 3.
        side = int(features.shape[1] ** 0.5)
        images = self.projector(self.clip(data["images"]))
        images = F.adaptive_avg_pool2d(images.transpose(1, 2).unflatten(2, (side, side)), 2)
        grid = features.transpose(1, 2).unflatten(2, (side, side))
        boxes = torch.matmul(grid.flatten(2)[data["box_scene"]], data["box_weights"])
        boxes = self.projector(boxes.transpose(1, 2)) + self.box_projector(data["boxes"])[:, None]
        sounds = self.sound_projector(self.sound(data["sounds"]))
        bank = torch.cat(
            [images.flatten(2).transpose(1, 2).flatten(0, 1), boxes.flatten(0, 1), sounds.flatten(0, 1)]
        )

        text = self.llm.embedding(data["prefix"])
        prefix = torch.cat([text[:, :-1], picture, text[:, -1:]], 1)
        _, _, _, cache = self.llm(prefix)
        repeat = sizes.questions
        cache = [tuple(t.repeat_interleave(repeat, 0) for t in layer) for layer in cache]
        table = torch.cat([self.llm.embedding(data["rows"]).flatten(0, 1), bank])
        rows = table[data["gather"]]
        hidden, query, key, _ = self.llm(rows, cache, data["mask"])

        flat = hidden.flatten(0, 1)
        logits = self.llm.head(flat[data["predictors"]])
        # Refocusing: the attention of each object's state over its answer adds those states.
        row, position, past = data["object_row"], data["object_position"], prefix.shape[1]
        start = torch.full_like(position, sizes.row - sizes.answer - 1)
        q = query[row, :, position]
        scores = torch.einsum("nhd,nhtd->nht", q, key[row]) / q.shape[-1] ** 0.5
        place = torch.arange(key.shape[2])
        scores = scores.masked_fill((place > past + position[:, None])[:, None], float("-inf"))
        weights = scores.softmax(-1).mean(1)[:, past:]
        inside = (place[past:] - past >= start[:, None]) & (place[past:] - past < position[:, None])
        weights = weights * inside
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-20)
        state = hidden[row, position] + 0.1 * torch.einsum("nt,nth->nh", weights, hidden[row])

        embeddings = self.image_encoder(data["sam"])
        masks, iou = self.mask_decoder(embeddings[row // repeat], self.object_head(state))
        regions = None
        if sizes.name_weight:
            pooled = (data["shares"] @ self.region_norm(features)).flatten(0, 1)[: sizes.regions]
            pooled = F.normalize(self.region_head(pooled), dim=-1)
            regions = pooled @ F.normalize(self.names, dim=-1).T * self.logit_scale.exp()
        return logits, masks, iou, regions


def random_batch(sizes):
    """Random batch in the sizes of the scenes and their questions."""
    count, past = sizes.scenes * sizes.questions, sizes.prefix + 256
    lengths = torch.randint(sizes.row * 6 // 10, sizes.row + 1, (count, 1))
    lengths[0] = sizes.row
    keys = torch.arange(past + sizes.row)
    causal = keys[None] <= past + torch.arange(sizes.row)[:, None]
    used = (keys[None] < past + lengths)[:, None, None]
    positions = torch.arange(sizes.row - sizes.answer - 1, sizes.row - 1)
    predictors = (torch.arange(count)[:, None] * sizes.row + positions).flatten()
    table = count * sizes.row
    bank = 4 * (sizes.images + sizes.boxes) + 3 * sizes.sounds
    gather = torch.arange(table)
    gather[torch.randperm(table)[:bank]] = table + torch.arange(bank)
    row = torch.arange(sizes.objects) % count
    return {
        "sizes": sizes,
        "clip": torch.randn(sizes.scenes, 3, 192, 192),
        "sam": torch.randn(sizes.scenes, 3, 256, 256),
        "images": torch.randn(sizes.images, 3, 192, 192),
        "boxes": torch.rand(sizes.boxes, 4),
        "box_scene": torch.randint(sizes.scenes, (sizes.boxes,)),
        "box_weights": torch.rand(sizes.boxes, 256, 4).softmax(1),
        "sounds": torch.randn(sizes.sounds, 3, 1, 128, 204),
        "prefix": torch.randint(sizes.vocabulary, (sizes.scenes, sizes.prefix)),
        "rows": torch.randint(sizes.vocabulary, (count, sizes.row)),
        "gather": gather.view(count, sizes.row),
        "mask": causal & used,
        "predictors": predictors,
        "predicted": torch.randint(sizes.vocabulary, (len(predictors),)),
        "object_row": row,
        "object_position": torch.full((sizes.objects,), sizes.row - 3),
        "shares": torch.rand(sizes.scenes, -(-sizes.regions // sizes.scenes), 256).softmax(-1),
        "names": torch.randint(NAMES, (sizes.regions,)),
        "masks": (torch.rand(sizes.objects, 128, 128) > 0.8).float(),
    }


def losses(output, data):
    logits, masks, estimates, regions = output
    target = data["masks"]
    language = F.cross_entropy(logits, data["predicted"])
    bce = F.binary_cross_entropy_with_logits(masks, target)
    share = masks.sigmoid().flatten(1)
    both = (share * target.flatten(1)).sum(1)
    dice = 1 - (2 * both + 1) / (share.sum(1) + target.flatten(1).sum(1) + 1)
    found = masks.detach() > 0
    iou = (found & (target > 0)).sum((1, 2)) / (found | (target > 0)).sum((1, 2)).clamp_min(1)
    total = language + 2.0 * bce + 0.5 * dice.mean() + 0.05 * (estimates - iou).pow(2).mean()
    if regions is not None:
        total = total + data["sizes"].name_weight * F.cross_entropy(regions, data["names"])
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value, what in (
        ("threads", 2, "threads"),
        ("scenes", 16, "scenes"),
        ("questions", 6, "questions about each"),
        ("vocabulary", 1304, "entries of the tokenizer"),
        ("prefix", 96, "text tokens before the question"),
        ("row", 64, "positions of the longest question with its answer"),
        ("answer", 6, "tokens of an answer"),
        ("objects", 96, "objects pointed at, of 96 questions"),
        ("images", 16, "reference pictures, of 96 questions"),
        ("boxes", 20, "boxes, of 96 questions"),
        ("sounds", 14, "sounds, of 96 questions"),
        ("regions", 64, "objects of 16 scenes, where their names are learned"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=what)
    parser.add_argument("--train-vision", action="store_true", help="the CLIP tower is trained")
    parser.add_argument("--train-sam", action="store_true", help="the SAM encoder is trained")
    parser.add_argument("--name-weight", type=float, default=0.0, help="weight of the names' loss")
    sizes = parser.parse_args()
    for name in ("objects", "images", "boxes", "sounds"):
        setattr(sizes, name, round(getattr(sizes, name) * sizes.scenes * sizes.questions / 96))
    sizes.regions = round(sizes.regions * sizes.scenes / 16)
    torch.manual_seed(0)
    torch.set_num_threads(sizes.threads)
    model = AnyRef(sizes.train_vision, sizes.train_sam, sizes.vocabulary)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05)
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"torch": torch.__version__, "parameters": parameters}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            data = random_batch(sizes)
            start = time.perf_counter()
            loss = losses(model(data), data)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            loss.item()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
