"""The 128 bits of XXH3 without a seed, of short texts, in plain Python."""

WORD = (1 << 64) - 1
PRIME_1, PRIME_2, PRIME_4 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x85EBCA77C2B2AE63
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3"
)


def word(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def avalanche(value):
    value = (value ^ value >> 37) * 0x165667919E3779F9 & WORD
    return value ^ value >> 32


def xxh3_128(data):
    """Of 9 to 136 bytes: what a project and an event's id have."""
    size = len(data)
    if not 9 <= size <= 136:
        raise ValueError(f"{size} bytes")
    if size <= 16:
        first, last = word(data, 0), word(data, size - 8)
        product = (first ^ last ^ word(SECRET, 32) ^ word(SECRET, 40)) * PRIME_1
        low, high = (product & WORD) + (size - 1 << 54) & WORD, product >> 64
        last ^= word(SECRET, 48) ^ word(SECRET, 56)
        high = high + last + (last & 0xFFFFFFFF) * 0x85EBCA76 & WORD
        low ^= int.from_bytes(high.to_bytes(8, "little"), "big")
        product = low * PRIME_2
        low, high = product & WORD, (product >> 64) + high * PRIME_2 & WORD
        return avalanche(high) << 64 | avalanche(low)
    low, high = size * PRIME_1 & WORD, 0

    def fold(at, secret):
        product = (word(data, at) ^ word(SECRET, secret)) * (word(data, at + 8) ^ word(SECRET, secret + 8))
        return product & WORD ^ product >> 64

    def mix(first, second, secret):
        nonlocal low, high
        low = (low + fold(first, secret) & WORD) ^ (word(data, second) + word(data, second + 8) & WORD)
        high = (high + fold(second, secret + 16) & WORD) ^ (word(data, first) + word(data, first + 8) & WORD)

    if size <= 128:
        for step in reversed(range((size - 1) // 32 + 1)):
            mix(16 * step, size - 16 - 16 * step, 32 * step)
    else:
        for step in range(4):
            mix(32 * step, 32 * step + 16, 32 * step)
        low, high = avalanche(low), avalanche(high)
        mix(size - 16, size - 32, 103)
    low, high = low + high & WORD, low * PRIME_1 + high * PRIME_4 + size * PRIME_2 & WORD
    return -avalanche(high) % (1 << 64) << 64 | avalanche(low)
