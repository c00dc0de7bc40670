"""The steps A1, A2 and B and the forwards C32 and C128 in torch.

Prints one JSON object: the milliseconds of every timed step, and the peak memory in bytes.
"""

import argparse
import json
import resource
import time

import torch
from torch import nn
from torch.nn import functional

# vocabulary, width, layers, heads, sequences, length, dropout, training
SHAPES = {
    "A1": (3417, 64, 2, 2, 128, 50, 0.2, True),
    "A2": (3417, 64, 2, 2, 128, 200, 0.2, True),
    "B": (8000, 256, 4, 4, 16, 128, 0.1, True),
    "C32": (30522, 384, 6, 12, 32, 32, 0.0, False),
    "C128": (30522, 384, 6, 12, 32, 128, 0.0, False),
}


class Block(nn.Module):
    def __init__(self, width, heads, dropout, causal):
        super().__init__()
        self.heads, self.causal, self.dropout = heads, causal, dropout
        self.attention_norm, self.forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def drop(self, x):
        return functional.dropout(x, self.dropout, self.training)

    def forward(self, x):
        n, length, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(n, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.drop(self.out(seen.transpose(1, 2).reshape(n, length, width)))
        return x + self.drop(self.narrow(functional.gelu(self.wide(self.forward_norm(x)))))


class Model(nn.Module):
    def __init__(self, vocabulary, width, layers, heads, length, dropout, causal):
        super().__init__()
        self.dropout = dropout
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout, causal) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets=None):
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        x = functional.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        if targets is None:
            return x[:, -1]
        logits = x.flatten(0, 1) @ self.tokens.weight.t()
        return functional.cross_entropy(logits.float(), targets.flatten())


def step_of(shape, bf16, compiled, device):
    vocabulary, width, layers, heads, n, length, dropout, training = SHAPES[shape]
    model = Model(vocabulary, width, layers, heads, length, dropout, causal=training).to(device)
    model.train(training)
    run = torch.compile(model) if compiled else model
    tokens, targets = torch.randint(vocabulary, (2, n, length), device=device)
    if not training:

        def forward():
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16):
                run(tokens)

        return forward
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = run(tokens, targets)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("steps", type=int)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    step = step_of(arguments.shape, arguments.bf16, arguments.compile, arguments.device)
    for _ in range(3):
        step()
    times = []
    for _ in range(arguments.steps):
        begin = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - begin))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"milliseconds": times, "peak-memory": peak}))


if __name__ == "__main__":
    main()
