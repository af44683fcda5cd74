"""Writes pickles as Python 2 does, opcode by opcode.

Python 3's `pickle.dumps(protocol=2)` does not: it has no byte string opcodes below protocol 3 and writes
`bytes` as a call of `_codecs.encode`. The published `refs(*).p` files come from Python 2, whose `str` is
bytes; so do these. Every value is memoised and every repeated key is fetched from the memo, as cPickle
does with interned strings.
"""
import struct


def python2_binary(value):
    """Protocol 2: SHORT_BINSTRING, BINPUT/BINGET, MARK ... SETITEMS/APPENDS."""
    out, memo = bytearray(b"\x80\x02"), {}

    def put():
        index = len(memo) + 1
        return index, (b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index))

    def get(index):
        return b"h" + bytes([index]) if index < 256 else b"j" + struct.pack("<I", index)

    def remember(key):
        memo[key], code = put()
        out.extend(code)

    def write(item):
        if item is None:
            out.extend(b"N")
        elif isinstance(item, bool):
            out.extend(b"\x88" if item else b"\x89")
        elif isinstance(item, int):
            if 0 <= item < 256:
                out.extend(b"K" + bytes([item]))
            elif 0 <= item < 65536:
                out.extend(b"M" + struct.pack("<H", item))
            elif -(2**31) <= item < 2**31:
                out.extend(b"J" + struct.pack("<i", item))
            else:
                digits = item.to_bytes((item.bit_length() + 8) // 8, "little", signed=True)
                out.extend(b"\x8a" + bytes([len(digits)]) + digits)
        elif isinstance(item, float):
            out.extend(b"G" + struct.pack(">d", item))
        elif isinstance(item, (bytes, str)):
            key = (type(item), item)
            if key in memo:
                out.extend(get(memo[key]))
                return
            if isinstance(item, str):
                raw = item.encode()
                out.extend(b"X" + struct.pack("<I", len(raw)) + raw)
            elif len(item) < 256:
                out.extend(b"U" + bytes([len(item)]) + item)
            else:
                out.extend(b"T" + struct.pack("<I", len(item)) + item)
            remember(key)
        elif isinstance(item, dict):
            out.extend(b"}")
            remember(("container", id(item), len(memo)))
            out.extend(b"(")
            for key, entry in item.items():
                write(key)
                write(entry)
            out.extend(b"u")
        elif isinstance(item, list):
            out.extend(b"]")
            remember(("container", id(item), len(memo)))
            if len(item) == 1:
                write(item[0])
                out.extend(b"a")
            elif item:
                out.extend(b"(")
                for entry in item:
                    write(entry)
                out.extend(b"e")
        elif isinstance(item, tuple):
            if len(item) > 3:
                out.extend(b"(")
            for entry in item:
                write(entry)
            out.extend(b"t" if len(item) > 3 else [b")", b"\x85", b"\x86", b"\x87"][len(item)])
            remember(("container", id(item), len(memo)))
        else:
            raise TypeError(type(item))

    write(value)
    return bytes(out + b".")


def python2_text(value):
    """Protocol 0: STRING with a repr, UNICODE, INT, LONG, FLOAT, PUT/GET, and one SETITEM or APPEND each."""
    out, memo = bytearray(), {}

    def remember(key):
        memo[key] = len(memo)
        out.extend(b"p%d\n" % memo[key])

    def write(item):
        if item is None:
            out.extend(b"N")
        elif isinstance(item, bool):
            out.extend(b"I01\n" if item else b"I00\n")
        elif isinstance(item, int):
            out.extend(b"I%d\n" % item if abs(item) < 2**31 else b"L%dL\n" % item)
        elif isinstance(item, float):
            out.extend(b"F" + repr(item).encode() + b"\n")
        elif isinstance(item, (bytes, str)):
            key = (type(item), item)
            if key in memo:
                out.extend(b"g%d\n" % memo[key])
                return
            if isinstance(item, bytes):
                out.extend(b"S" + repr(item)[1:].encode() + b"\n")
            else:
                text = item.replace("\\", "\\u005c").replace("\n", "\\u000a")
                # A build of Python 2 with two-byte characters writes surrogate pairs.
                units = text.encode("utf-16-be")
                points = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
                raw = b"".join(bytes([p]) if p < 256 else b"\\u%04x" % p for p in points)
                out.extend(b"V" + raw + b"\n")
            remember(key)
        elif isinstance(item, dict):
            out.extend(b"(d")
            remember(("container", id(item), len(memo)))
            for key, entry in item.items():
                write(key)
                write(entry)
                out.extend(b"s")
        elif isinstance(item, list):
            out.extend(b"(l")
            remember(("container", id(item), len(memo)))
            for entry in item:
                write(entry)
                out.extend(b"a")
        elif isinstance(item, tuple):
            out.extend(b"(")
            for entry in item:
                write(entry)
            out.extend(b"t")
            remember(("container", id(item), len(memo)))
        else:
            raise TypeError(type(item))

    write(value)
    return bytes(out + b".")
