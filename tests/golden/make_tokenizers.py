#!/usr/bin/env python3
"""Writes small tokenizers in each form that a GPT-2's folder may have, and the tokens that transformers 5 makes of texts.

Usage: make_tokenizers.py OUT_FILE      (needs transformers 5 and tokenizers)
OUT_FILE is {"cases": [{"name", "files": {NAME: TEXT}, "texts": [{"text", "ids"}]}]}.
"""
import json, os, sys, tempfile
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

SAMPLE = ["the quick brown fox jumps over the lazy dog", "Hello, how are you today? Hello there, you two.", "a <pad> and an end of text"] * 20
TEXTS = [
    "Hello, how are you?",
    " Hello",
    "the end<|endoftext|>the next",
    "a <pad> b<pad><pad>c  <mask>  d",
    "<s>the dog</s>",
    "new\nline \t tabs, unicode: Grüße, 日本語 🙂",
    "<|endoftext|>",
    "<|endof text|> [PAD] <user> x <userx>",
]


def base(end):
    """A byte-level BPE, and the same as vocab.json and merges.txt."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>"] if end else []
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(SAMPLE, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = "#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in model["merges"])
    return tokenizer, {"vocab.json": json.dumps(model["vocab"], ensure_ascii=False), "merges.txt": merges}, len(model["vocab"])


def token(content, **flags):
    return dict(content=content, **{**dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True), **flags})


def cases():
    tokenizer, files, size = base(True)
    whole = tokenizer.to_str()
    named = dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")
    yield "plain", files
    yield "added_tokens.json", {**files, "added_tokens.json": {"<pad>": size, "<user>": size + 1}}
    yield "special and added", {
        **files,
        "added_tokens.json": {"<pad>": size, "<user>": size + 1},
        "special_tokens_map.json": {**named, "pad_token": "<pad>", "mask_token": token("<mask>", lstrip=True), "additional_special_tokens": ["[PAD]"]},
    }
    decoder = {"0": token("<|endoftext|>"), str(size): token("<pad>", rstrip=True), str(size + 1): token("<user>", special=False, single_word=True), str(size + 2): token("<mask>", lstrip=True)}
    yield "added_tokens_decoder", {**files, "tokenizer_config.json": {**named, "tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": decoder}}
    yield "decoder before map", {
        **files,
        "tokenizer_config.json": {**named, "added_tokens_decoder": decoder},
        "special_tokens_map.json": {"pad_token": "[PAD]"},
        "added_tokens.json": {"<s>": size},
    }
    yield "prefix space", {**files, "tokenizer_config.json": {**named, "add_prefix_space": True}}
    yield "beginning and end", {**files, "tokenizer_config.json": {**named, "tokenizer_class": "GPT2TokenizerFast", "add_bos_token": True, "add_eos_token": True, "bos_token": "<s>", "eos_token": "</s>"}}
    yield "beginning of its own", {**files, "tokenizer_config.json": {"add_bos_token": True, "bos_token": {"__type": "AddedToken", **token("<s>")}}}
    yield "beginning without token", {**files, "tokenizer_config.json": {"add_bos_token": True, "bos_token": None}}
    yield "split special tokens", {**files, "tokenizer_config.json": {**named, "split_special_tokens": True}}
    yield "tokenizer.json", {"tokenizer.json": whole}
    yield "tokenizer.json, prefix space", {"tokenizer.json": whole, "tokenizer_config.json": {**named, "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}}
    yield "tokenizer.json, beginning", {"tokenizer.json": whole, "tokenizer_config.json": {**named, "tokenizer_class": "GPT2Tokenizer", "add_bos_token": True}}
    yield "tokenizer.json, added", {"tokenizer.json": whole, "tokenizer_config.json": {**named, "tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": decoder, "pad_token": "[PAD]"}}
    yield "tokenizer.json, special", {"tokenizer.json": whole, "special_tokens_map.json": {**named, "pad_token": "<pad>"}, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}}
    tokenizer.post_processor = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    yield "tokenizer.json, template", {"tokenizer.json": tokenizer.to_str(), "tokenizer_config.json": {"tokenizer_class": "TokenizersBackend"}}
    _, files, _ = base(False)
    yield "no end of text", files


if __name__ == "__main__":
    found = []
    for name, files in cases():
        files = {name: text if isinstance(text, str) else json.dumps(text) for name, text in files.items()}
        with tempfile.TemporaryDirectory() as folder:
            for file, text in {**files, "config.json": '{"model_type": "gpt2"}'}.items():
                with open(os.path.join(folder, file), "w") as out:
                    out.write(text)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        texts = [dict(text=text, ids=tokenizer(text)["input_ids"]) for text in TEXTS]
        found.append(dict(name=name, files=files, texts=texts))
    json.dump(dict(cases=found), open(sys.argv[1], "w"))
