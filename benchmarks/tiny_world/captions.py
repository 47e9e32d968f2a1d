"""The words of the tiny world's captions, for tokenizers that know them."""

from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from benchmarks.tiny_world.scene import Thing, all_appearances


LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]


def caption_words() -> list[str]:
    """Every word of the captions, in alphabetical order."""
    appearances = (replace(each, second=Thing(each.color, each.shape)) for each in all_appearances())
    return sorted({word for appearance in appearances for word in appearance.prompt.split()})


def check_words(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise an `AssertionError` if some word of the captions is not one token."""
    split = [word for word in caption_words() if len(tokenizer.tokenize(word)) != 1]
    if split:
        raise AssertionError(f"These words are not one token each: {split}.")
