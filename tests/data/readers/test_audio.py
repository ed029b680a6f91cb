"""Sound clips: exact PCM, mono mix, rate and length, patterns, and unreadable files named."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from tests.data.making import pack, wav, write

from marram.core.errors import DataError
from marram.data.readers import audio


def test_pcm_at_its_own_rate_keeps_its_values():
    sound = np.random.default_rng(0).integers(-32768, 32768, 5000)
    clip = audio.decode(wav(sound), rate_hz=8000, samples=5000, where="x")
    assert clip.dtype == np.int16
    np.testing.assert_array_equal(clip, sound)


@pytest.mark.parametrize(("length", "samples"), [(3000, 5000), (5000, 3000), (1, 4)])
def test_clips_are_cut_or_filled_to_one_length(length, samples):
    sound = np.arange(1, length + 1)
    clip = audio.decode(wav(sound), rate_hz=8000, samples=samples, where="x")
    kept = min(length, samples)
    np.testing.assert_array_equal(clip[:kept], sound[:kept])
    assert not clip[kept:].any()


def test_channels_are_mixed():
    left, right = np.full(100, 1000), np.full(100, -500)
    clip = audio.decode(wav(np.stack([left, right], 1), channels=2), rate_hz=8000, samples=100, where="x")
    assert (clip == 250).all()


@pytest.mark.parametrize(
    ("format_name", "subtype"), [("FLAC", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_24"), ("OGG", "VORBIS")]
)
def test_other_formats_sound_the_same(format_name, subtype):
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    stream = io.BytesIO()
    soundfile.write(stream, sound, 8000, format=format_name, subtype=subtype)
    clip = audio.decode(stream.getvalue(), rate_hz=8000, samples=8000, where="x")
    limit = 1500 if format_name == "OGG" else 2
    assert np.abs(clip - np.round(sound * 32768)).max() <= limit


def test_another_rate_is_resampled_and_saturates():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    clip = audio.decode(wav(tone * 32767, 16000), rate_hz=8000, samples=8000, where="x")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000) * 32767
    assert np.abs(clip - expected)[200:-200].max() < 40
    square = np.where(np.arange(16000) % 40 < 20, 32767, -32768)
    clip = audio.decode(wav(square, 16000), rate_hz=8000, samples=8000, where="x")
    assert clip.max() == 32767
    assert clip.min() == -32768


def test_speakers_come_from_the_pattern(tmp_path, sound_files):
    options = {"rate_hz": 8000, "samples": 4000, "pattern": "{label}_{speaker}_{index}.wav", "group": "speaker"}
    folder = audio.read(write(tmp_path / "f", sound_files), **options)
    archive = audio.read(pack(tmp_path / "f.zip", sound_files), **options)
    assert folder.digest == archive.digest
    assert folder.labels == ("no", "yes")
    assert sorted(set(folder.groups)) == ["ann", "bob", "cy"]
    assert folder.group_name == "speaker"
    assert folder.duration_s == 18 * 0.5
    ((x, _),) = folder.batches(100)
    assert x.shape == (18, 4000)


def nan_file() -> bytes:
    data = np.full(100, np.nan, "<f4").tobytes()
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 8000, 32000, 4, 32) + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data


@pytest.mark.parametrize("data", [b"", b"RIFF", wav(np.zeros(10))[:20], wav([]), nan_file(), bytes(1000)])
def test_unreadable_clips_are_named(tmp_path, data):
    dataset = audio.read(write(tmp_path, {"a/1.wav": wav(np.ones(50)), "b/bad.wav": data}), rate_hz=8000, samples=100)
    with pytest.raises(DataError, match=r"b/bad\.wav"):
        list(dataset.batches(4))


def test_flipped_bits_give_a_clip_or_an_error():
    rng = np.random.default_rng(5)
    for kind in ("WAV", "FLAC"):
        stream = io.BytesIO()
        soundfile.write(stream, rng.uniform(-1, 1, 500), 8000, format=kind, subtype="PCM_16")
        for _ in range(150):
            raw = bytearray(stream.getvalue())
            for _ in range(rng.integers(1, 4)):
                raw[rng.integers(0, min(len(raw), 120))] ^= 1 << rng.integers(0, 8)
            try:
                clip = audio.decode(bytes(raw), rate_hz=8000, samples=400, where="x")
            except DataError:
                continue
            assert clip.shape == (400,)
