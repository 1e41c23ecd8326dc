"""The container of libqmd's files, read and written by docs/files.md alone (struct and zlib)."""

import math
import struct
import zlib

import numpy as np


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def read_container(data, magic):
    assert data[:8] == magic
    _, _, size, n, crc = struct.unpack_from("<IIQII", data, 8)
    assert size == len(data)
    table = data[32:32 + 40 * n]
    assert zlib.crc32(data[:28] + table) == crc
    sections, end = {}, 32 + 40 * n
    for i in range(n):
        name, offset, length, crc, zero = struct.unpack_from("<16sQQII", table, 40 * i)
        assert offset == -(-end // 64) * 64 and zero == 0 and not any(data[end:offset])
        end = offset + length
        sections[name.rstrip(b"\0").decode()] = data[offset:end]
        assert zlib.crc32(data[offset:end]) == crc
    assert end == len(data) - 8
    assert fnv1a(data[:end]) == struct.unpack_from("<Q", data, end)[0]
    return sections


def write_container(magic, major, minor, sections):
    end = 32 + 40 * len(sections)
    table = body = b""
    for name, content in sections.items():
        offset = -(-end // 64) * 64
        table += struct.pack("<16sQQII", name.encode(), offset, len(content), zlib.crc32(content), 0)
        body += bytes(offset - end) + content
        end = offset + len(content)
    head = struct.pack("<8sIIQI", magic, major, minor, end + 8, len(sections))
    data = head + struct.pack("<I", zlib.crc32(head + table)) + table + body
    return data + struct.pack("<Q", fnv1a(data))


class Reader:
    """Numbers, texts and arrays of a section, one after the other."""

    def __init__(self, section):
        self.section, self.offset = section, 0

    def numbers(self, codes):
        values = struct.unpack_from("<" + codes, self.section, self.offset)
        self.offset += struct.calcsize("<" + codes)
        return values

    def number(self, code="I"):
        return self.numbers(code)[0]

    def text(self):
        length = self.number()
        self.offset += length
        return self.section[self.offset - length:self.offset].decode()

    def array(self, dtype, *shape):
        n, item = math.prod(shape), np.dtype(dtype).itemsize
        self.offset += n * item
        return np.frombuffer(self.section, dtype, n, self.offset - n * item).reshape(shape)

    def is_at_its_end(self):
        return self.offset == len(self.section)
