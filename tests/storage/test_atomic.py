"""Writers that are killed, writers at the same time, and folders that were prepared to do harm."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from diffusers_motion_embed.storage.atomic import remove_leftovers, replace_files
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from tests.helpers import make_config


fork = multiprocessing.get_context("fork")  # a new interpreter would take seconds to import torch


def embedding(number):
    """One in which every number is `number`."""
    config = make_config(target_modules=["attn1"], training={"number": number})
    return Embedding(config, {"attn1": {"qk": torch.full((4, 256), number), "v": torch.full((2, 2, 4, 256), number)}})


def number_of(folder):
    """The number of a whole embedding; an assertion fails if it is half one and half another."""
    config, tensors = read_embedding(folder)
    found = {float(number) for part in tensors["attn1"].values() for number in part.unique()}
    assert found == {config.training["number"]}
    return found.pop()


def write_for_ever(folder, started):
    embeddings = [embedding(number) for number in (1.0, 2.0)]
    started.set()
    while True:
        for each in embeddings:
            write_embedding(folder, each)


def test_a_writer_that_is_killed_leaves_the_old_or_the_new_and_no_debris(tmp_path):
    write_embedding(tmp_path, embedding(0.0))
    rng, seen, left = random.Random(0), set(), 0
    for _ in range(100):
        started = fork.Event()
        writer = fork.Process(target=write_for_ever, args=(tmp_path, started))
        writer.start()
        assert started.wait(60)
        time.sleep(rng.uniform(0.0, 0.03))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        left += len(list(tmp_path.iterdir())) > 2
        seen.add(number_of(tmp_path))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert {1.0, 2.0} <= seen
    assert left > 0  # or nothing was killed in the middle


def write_some(folder, number):
    for _ in range(20):
        write_embedding(folder, embedding(number))


def test_writers_and_readers_at_the_same_time_meet_whole_embeddings(tmp_path):
    write_embedding(tmp_path, embedding(0.0))
    writers = [fork.Process(target=write_some, args=(tmp_path, float(number))) for number in (1, 2, 3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        number_of(tmp_path)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert number_of(tmp_path) in (1.0, 2.0, 3.0)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_new_file_of_a_living_writer_is_no_leftover(tmp_path):
    def write_and_wait(started, go_on):
        class Slow(dict):
            def __getitem__(self, name):
                started.set()
                go_on.wait()
                return super().__getitem__(name)

        replace_files(tmp_path, Slow(name=b"content"))

    started, go_on = fork.Event(), fork.Event()
    writer = fork.Process(target=write_and_wait, args=(started, go_on))
    writer.start()
    assert started.wait(30)
    remove_leftovers(tmp_path, ["name"])
    assert [path.name for path in tmp_path.iterdir()] == [".name.new"]
    go_on.set()
    writer.join()
    assert (tmp_path / "name").read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 1


def test_links_are_replaced_and_never_written_through(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.write_text("precious")
    folder.mkdir()
    for name in ("name", ".name.new"):
        (folder / name).symlink_to(outside)
    replace_files(folder, {"name": b"content"})
    assert outside.read_text() == "precious"
    assert (folder / "name").read_bytes() == b"content"
    assert not (folder / "name").is_symlink()
    (folder / ".name.new").symlink_to(outside)
    remove_leftovers(folder, ["name"])
    assert outside.read_text() == "precious"


def test_what_fails_half_way_changes_nothing(tmp_path):
    replace_files(tmp_path, {"a": b"old", "b": b"old"})
    with pytest.raises(TypeError):
        replace_files(tmp_path, {"a": b"new", "b": "no bytes"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old", "b": b"old"}
