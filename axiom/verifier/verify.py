#!/usr/bin/env python3
"""A second verifier of the log, written from docs/log-format.md alone.

usage: verify.py LOG_FOLDER VERIFIER_KEY [--agree FILE]

Checks everything under "To verify" there and prints what it found; exit status 0: good, 1: it is not, and where.
--agree FILE: also compares every record with `orbital log show --from 0 --output json`. Needs blake3 and cryptography.
"""
import base64, hashlib, json, pathlib, re, struct, sys
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

class Bad(Exception): pass
def need(condition, where, what):
    if not condition: raise Bad(f"{where}: {what}")

HEADER, FRAME, NONE24, ESCAPE, FOREVER = 254, 302, 0xFFFFFF, 0xFFFFFE, (1 << 64) - 1
PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/log-format.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]

def numbered(text): return {int(number): "".join(word[0].upper() + word[1:] for word in name.split())
                            for number, name in re.findall(r"(?<![\w])(\d+) ([A-Za-z][A-Za-z ]*)", text)}

# The page's tables are read from the page itself, so that it cannot say one thing and this program another.
WORDS = {row[0]: numbered(row[1].split(":", 1)[1]) for row in ROWS if row[0] in ("kind", "reason", "mode") and row[1].startswith("u8:")}
WORDS["rights"] = {bit: name.lower() for bit, name in numbered(next(row[1].split("bits", 1)[1] for row in ROWS if row[0] == "rights")).items()}
WORDS["error"] = numbered(re.search(r"^Errors: (.*)", PAGE, re.M)[1])
WORDS["fault"] = numbered(next(row[4] for row in ROWS if row[0] == "0x84" and row[1] == "fault"))
CALLS = {int(row[0], 0): row[1].split(":")[0] for row in ROWS if len(row) in (4, 5) and re.fullmatch(r"\d+|0x[8F][0-9A-F]", row[0])
         and re.fullmatch(r"[a-z][a-z-]*(:.*)?", row[1]) and (len(row) == 5 or row[0].isdigit())}
COMMITS = {int(row[0], 16): (row[1], [field.split(": ") for field in row[2].split(";")[0].split(", ") if ": " in field])
           for row in ROWS if len(row) == 4 and re.fullmatch(r"0x[0-9A-F]{2}", row[0])}

FIXED = {int(row[0], 16): [(name, int(bits)) for name, bits in re.findall(r"(\w+): (\d+)", row[1])] for row in ROWS if len(row) == 3 and row[0][:2] == "0x"}
def leb(number): return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + leb(number >> 7)

class Content:
    """Reads the fields of one commit; what it gives is written as `show` writes it, without the names of types."""
    def __init__(self, data, where): self.data, self.at, self.where = data, 0, where
    def take(self, count):
        need(self.at + count <= len(self.data), self.where, "a commit's content ends early")
        self.at += count
        return self.data[self.at - count:self.at]
    def leb(self, bits):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80: break
        if bits == 64 and (value, shift) == (0, 14): return FOREVER
        need(value != FOREVER and value < 1 << bits and (byte or shift == 7), self.where, "a number is not in its shortest form, or too large")
        return value
    def wide(self, count): return int.from_bytes(self.take(count), "little")
    def one_of(self, names):
        value = self.leb(8)
        need(value in names, self.where, f"{value} is none of {', '.join(names.values())}")
        return names[value]
    def text(self, raw):
        try: return json.dumps(raw.decode(), ensure_ascii=False)
        except UnicodeDecodeError: raise Bad(f"{self.where}: a name is not UTF-8")
    def group(self, *fields): return "{ " + ", ".join(f"{name}: {self.field(kind)}" for name, kind in fields) + " }"
    def field(self, kind):
        if kind.endswith("?"): return self.field(kind[:-1]) if self.flag() else "None"
        if kind == "u64 x 3": return self.group(("entry", "u64"), ("stack", "u64"), ("argument", "u64"))
        if kind[0] == "u": return self.leb(int(kind[1:]))
        if kind == "id": return (self.leb(32) - 1) & 0xFFFFFFFF
        if kind == "handle": return self.leb(64)
        if kind == "bool": return "true" if self.flag() else "false"
        if kind == "name":
            raw = self.take(24)
            need(b"\0" not in raw.rstrip(b"\0"), self.where, "a name has a zero in it")
            return self.text(raw.rstrip(b"\0"))
        if kind == "hash": return list(self.take(32))
        if kind == "rights":
            bits = self.leb(16)
            need(bits < 1 << len(WORDS[kind]) or bits == 0xFFFF, self.where, "there is no such right")
            return "+".join(name for bit, name in WORDS[kind].items() if bits >> bit & 1) or "-"
        if kind in WORDS: return self.one_of(WORDS[kind])
        if kind == "place": return self.group(("capability", "id"), ("process", "id"), ("slot", "u32"))
        if kind == "arrival": return self.group(("thread", "id"), ("position", "u8"))
        if kind == "limits": return self.group(("capabilities", "u32"), ("queued_messages", "u32"), ("processor_time", "u64"))
        if kind == "entry":
            value = self.field("id")
            need(value >> 28 < 4, self.where, "there is no such entry of a queue")
            return f"{'Thread Message Exit Notification'.split()[value >> 28]}({value & 0xFFFFFFF}"
        raise AssertionError(kind)
    def flag(self):
        value = self.take(1)[0]
        need(value < 2, self.where, "a byte that is 0 or 1 is neither")
        return value
    def short_text(self): return self.text(self.take(self.take(1)[0]))
    def platform(self):
        name, manifest = self.short_text(), list(self.take(32))
        images = [f"({self.short_text()}, {list(self.take(32))}" for _ in range(self.wide(2))]
        return f"{{ name: {name}, manifest: {manifest}, images: [{', '.join(images)}], wall_time: {self.wide(8)} }}"

def read_commit(body, at, where, authority):
    """One commit: (index of its record, position, what it says, its kind, where the next begins, the key of a genesis)."""
    item = body[at:at + 16]
    need(len(item) == 16, where, "a body ends within a commit")
    kind, index, position, end, key = item[0], int.from_bytes(item[12:15], "little"), item[15], at + 16, None
    content, short = item[1:12], kind != 0xFF
    if not short:
        kind, length = item[1], int.from_bytes(item[2:4], "little")
        end += -(-length // 16) * 16
        content, filling = body[at + 16:at + 16 + length], body[at + 16 + length:end]
        need(not any(item[4:12]) and len(content) == length and end <= len(body) and not any(filling), where, "a head is damaged")
    need(authority == (kind < 0x80 or kind >= 0xF0), where, f"a commit of kind {kind:#x} is in the wrong body")
    need(short or kind not in (0x84, 0x85), where, "this kind has no head")
    if short and kind in FIXED:
        rest, numbers = int.from_bytes(content, "little"), {}
        for name, bits in FIXED[kind]: numbers[name], rest = rest & (1 << bits) - 1, rest >> bits
        need(not rest, where, "a fixed form has something behind it")
        if kind in (0x84, 0x85): return index, position, f"{COMMITS[kind][0]} {{ {', '.join(f'{name}: {number}' for name, number in numbers.items())} }}", kind, end, key
        ids = ("source", "capability", "process", "mapping")
        content = b"".join(leb(number + (name in ids)) for name, number in numbers.items()) + (b"\0\x80\0\0" if kind == 0x10 else b"")
    reader = Content(content, where)
    if kind == 0xF0:
        platform, key = reader.platform(), reader.take(32)
        said = f"Genesis {{ platform: {platform}, key: {list(key)} }}"
    elif kind == 0xF1:
        number, platform, disk = reader.wide(8), reader.platform(), list(reader.take(16))
        previous, cut, other = reader.one_of({0: "First", 1: "Orderly", 2: "Crashed"}), reader.wide(8), "None"
        need(previous != "First" or not cut, where, "bytes cut off behind nothing")
        if previous != "First": previous += f" {{ cut: {cut} }}"
        if reader.flag(): other = f"{{ origin: {reader.short_text()}, size: {reader.wide(8)}, root: {list(reader.take(32))} }}"
        said = f"Booted {{ number: {number}, platform: {platform}, disk: {disk}, previous: {previous}, other: {other} }}"
    elif kind == 0xF2: said = f"End {{ number: {reader.wide(8)}, status: {reader.wide(8)} }}"
    else:
        need(kind in COMMITS, where, f"there is no commit of kind {kind:#x}")
        said = f"elapsed {reader.leb(64)}, {COMMITS[kind][0]} {reader.group(*COMMITS[kind][1])}"
    if short:  # the shortest form, with nothing but zero behind
        need(kind < 0xF0 and not any(content[reader.at:]), where, "a short commit has bytes behind its content")
    else: need(reader.at == len(content) and (kind >= 0xF0 or kind in FIXED or len(content) > 11), where, "a head's content is of another length")
    return index, position, said, kind, end, key

def read_record(body, at, where, base):
    need(at + 16 <= len(body), where, "a body ends within a record")
    first, second = struct.unpack_from("<QQ", body, at)
    what, ending, thread, slot, end = first & 0xFF, first >> 8 & 0xFF, first >> 16 & NONE24, first >> 40, at + 16
    need(what in CALLS and (ending <= 16 or ending in (0x80, 0x81)), where, "this is no record")
    if ESCAPE in (thread, slot):
        need(thread == slot and at + 32 <= len(body), where, "an escape in one half alone")
        thread, slot = struct.unpack_from("<QQ", body, at + 16)
        need(max(thread, slot) < 1 << 32 and any(n >= ESCAPE and n != NONE24 for n in (thread, slot)), where, "a needless escape")
        end += 16
    error = WORDS["error"].get(ending)
    result = "refused" if error else {0: "done", 0x80: "waits", 0x81: "open"}[ending]
    none = lambda number: None if number == NONE24 else number
    return dict(ns=base + (second & 0xFFFFFFFF), thread=none(thread), slot=none(slot), call=CALLS[what], tag=second >> 32,
                result=result, error=error), end

def read_block(header, bodies, where):
    """The records of a block with their commits, in order; of a trimmed one (no calls) the authority commits alone."""
    authority, activity, calls = bodies
    at, counts, records, keys = [0, 0], [0, 0], [], []
    def next_of(which, index, position):
        body = bodies[which]
        if at[which] == len(body): return None
        start = at[which]
        if which == 0: cause, start = read_record(body, start, where, header["base"])
        commit = read_commit(body, start, where, which == 0)
        if commit[:2] != (index, position): return None
        need(which == 1 or cause == record, where, f"record {index} is not what its authority commit says caused it")
        at[which], counts[which] = commit[4], counts[which] + 1
        if commit[5]: keys.append((header["record"] + index, commit[5]))
        return commit[2]
    place, last = 0, (0, -1)
    if calls is None:
        while at[0] < len(authority):
            _, start = read_record(authority, at[0], where, header["base"])
            commit = read_commit(authority, start, where, True)
            need(commit[:2] > last and commit[0] < header["records"], where, "authority commits out of order")
            last, at[0], counts[0] = commit[:2], commit[4], counts[0] + 1
            if commit[5]: keys.append((header["record"] + commit[0], commit[5]))
        need(counts[0] == header["authority"], where, "other counts than the header says")
        return [], keys
    for index in range(header["records"]):
        record, place = read_record(calls, place, where, header["base"])
        exact = []
        while (said := next_of(1, index, len(exact)) or next_of(0, index, len(exact))): exact.append(said)
        records.append(dict(record=header["record"] + index, boot=header["boot"], exact=exact, **record))
    need((place, *at) == (len(calls), len(authority), len(activity)), where, "a body has more than the records use")
    need(counts == [header["authority"], header["activity"]], where, "other counts than the header says")
    return records, keys

def read_header(raw, before, where):
    version, flags, boot, records, block, record, commit, base, authority, activity, *sizes = struct.unpack_from("<BBIIQQQQIIIII", raw)
    header = dict(flags=flags, boot=boot, records=records, block=block, record=record, commit=commit, base=base,
                  authority=authority, activity=activity, sizes=sizes, hashes=[raw[at:at + 32] for at in (94, 126, 158)])
    need(version == 1 and flags < 8 and 1 <= records < 1 << 24, where, "its version, flags or number of records")
    expected = (boot, 0, 0, 0, bytes(32)) if before is None else (before["boot"], before["block"] + 1,
        before["record"] + before["records"], before["commit"] + before["authority"] + before["activity"], blake3(before["raw"]).digest())
    need((boot - (flags & 1) if before else boot, block, record, commit, raw[62:94]) == expected, where, "does not follow the block before")
    need(before or (flags & 1 and boot == 1), where, "the log does not begin with boot 1")
    need(flags & 2 or not any(raw[190:]), where, "state hashes that are not taken")
    return dict(header, raw=raw)

def subtree(hashes):
    """RFC 6962, of leaves that are hashed already."""
    if len(hashes) < 2: return hashes[0] if hashes else hashlib.sha256().digest()
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + subtree(hashes[:half]) + subtree(hashes[half:])).digest()

def read_checkpoint(text, vkey):
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    need(key[:1] == b"\1" and len(key) == 33 and hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] == key_id, "the verifier key", "is none")
    form = re.fullmatch(r"([^\n]+)\n(0|[1-9]\d*)\n([A-Za-z0-9+/]{43}=)\n\n\u2014 ([^\n ]+) ([A-Za-z0-9+/]+={0,2})\n", text)
    need(form and form[1] == form[4] == name, "checkpoint", "not of the one form, or of another origin than the key")
    root, signature = base64.b64decode(form[3]), base64.b64decode(form[5])
    need(all(base64.b64encode(raw).decode() == said for raw, said in ((root, form[3]), (signature, form[5]))), "checkpoint", "base64 of an odd form")
    need(len(signature) == 68 and signature[:4].hex() == key_id, "checkpoint", "signed with another key")
    try: Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.split("\n\n")[0].encode() + b"\n")
    except InvalidSignature: raise Bad("checkpoint: its signature is wrong")
    return int(form[2]), root, key[1:]

def check_tiles(folder, headers, leaves, covered):
    levels, seen = [leaves], set()
    while len(levels[-1]) >= 256: levels.append([subtree(levels[-1][at:at + 256]) for at in range(0, len(levels[-1]) // 256 * 256, 256)])
    for path in sorted(p for p in (folder / "tile").rglob("*") if p.is_file()):
        where = path.relative_to(folder).as_posix()
        form = re.fullmatch(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d*))?", where)
        need(form, where, "does not belong here")
        index, width = int(form[2].replace("x", "").replace("/", "")), int(form[3] or 256)
        level = 0 if form[1] == "entries" else int(form[1])
        need(level < len(levels), where, "beyond the tree")
        part = slice(index * 256, index * 256 + width)
        items = [struct.pack(">H", HEADER) + raw for raw in headers[part]] if form[1] == "entries" else levels[level][part]
        need(len(items) == width and path.read_bytes() == b"".join(items), where, "is not what the tree has")
        seen.add((form[1], index, width))
    for level, hashes in [("entries", leaves)] + [(str(at), level) for at, level in enumerate(levels)]:
        count = covered >> (0 if level == "entries" else 8 * int(level))
        for at in range(0, count, 256):
            need((level, at // 256, min(256, count - at)) in seen or (level, at // 256, 256) in seen, f"tile/{level}", f"tile {at // 256} is missing")

def check_snapshots(folder, raws, covered):
    for path in sorted((folder / "snapshots").glob("*")):
        where, data = f"snapshots/{path.name}", path.read_bytes()
        need(re.fullmatch(r"\d{20}", path.name) and int(path.name) < covered, where, "does not belong here")
        magic, block, authority, activity = struct.unpack_from("<4sQQQ", data) if len(data) >= 28 else (b"", 0, 0, 0)
        need((magic, block, 28 + authority + activity) == (b"OLS1", int(path.name), len(data)), where, "is no snapshot of its block")
        hashes, raw = b"".join(blake3(half).digest() for half in (data[28:28 + authority], data[28 + authority:])), raws[block]
        need(raw[1] & 2 and raw[190:] == hashes, where, "is not the state that its block's header has the hash of")

def plain(said): return re.sub(r"\b([A-Z]\w*Id|Some|Handle)\(|(?:(?<=: )|(?<=\())(?!Orderly|Crashed)[A-Z]\w* (?=\{)|\)", "", said)

def verify(folder, vkey, agree):
    covered, root, key = read_checkpoint((folder / "checkpoint").read_bytes().decode(), vkey)
    for path in folder.iterdir(): need(path.name in ("checkpoint", "segments", "snapshots", "tile"), path.name, "does not belong here")
    segments = {}
    for path in sorted((folder / "segments").iterdir()):
        form = re.fullmatch(r"(\d{20})\.(seg|kept)", path.name)
        need(form, f"segments/{path.name}", "does not belong here")
        if form[2] == "seg" or int(form[1]) not in segments: segments[int(form[1])] = path
    order = [path.suffix for _, path in sorted(segments.items())]
    need(order == sorted(order) and order[-1:] != [".kept"], "segments", "one that is newer than a whole one was trimmed, or the newest")
    before, leaves, raws, total, compared = None, [], [], 0, 0
    for first, path in sorted(segments.items()):
        data, at = path.read_bytes(), 0
        need(first == len(leaves), f"segments/{path.name}", f"block {len(leaves)} should be its first")
        while any(data[at:at + FRAME]):
            where = f"segments/{path.name}, byte {at}, block {len(leaves)}"
            magic, length, synced = struct.unpack_from("<4sIQ", data, at) if at + FRAME <= len(data) else (b"", 0, 0)
            need(magic == {".seg": b"OLB1", ".kept": b"OLK1"}[path.suffix] and at + length <= len(data), where, "no frame, or a torn one")
            need(blake3(data[at:at + 270]).digest() == data[at + 270:at + FRAME], where, "the frame's hash is wrong")
            before = header = read_header(data[at + 16:at + 270], before, where)
            kept = header["sizes"] if magic == b"OLB1" else header["sizes"][:1]
            need(length == FRAME + sum(kept) and synced <= header["block"], where, "other lengths than the header says")
            bodies, place = [None, None, None], at + FRAME
            for which, size in enumerate(kept):
                bodies[which], place = data[place:place + size], place + size
                need(blake3(bodies[which]).digest() == header["hashes"][which], where, f"the hash of its {('authority', 'activity', 'calls')[which]} body is wrong")
            records, keys = read_block(header, bodies, where)
            for record, said in keys: need(record == 0 and said == key, where, "genesis is not of this key, or not the first")
            need(leaves or keys, where, "the log does not begin with genesis")
            for record in records if agree else ():
                theirs = json.loads(next(agree, "null"))
                need(theirs, f"record {record['record']}", "`show` does not have it")
                theirs = dict({name: theirs[name] for name in record}, exact=[plain(said) for said in theirs["exact"]])
                need(theirs == record, f"record {record['record']}", f"differs:\n  here {record}\n  show {theirs}")
                compared += 1
            raws.append(header["raw"])
            leaves.append(hashlib.sha256(b"\0" + header["raw"]).digest())
            at, total = at + length, total + header["records"]
        need(not any(data[at:]), f"segments/{path.name}, byte {at}", "bytes behind the last frame")
    need(covered <= len(leaves) and subtree(leaves[:covered]) == root, "checkpoint", f"its root is not that of the first {covered} blocks")
    check_tiles(folder, raws, leaves, covered)
    check_snapshots(folder, raws, covered)
    need(not agree or next(agree, None) is None, "`show`", "has more records than the log")
    print(f"good: {total} records in {len(leaves)} blocks, {covered} of them under the checkpoint" + (f"; {compared} records agree with `show`" if agree else ""))

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) not in (2, 4) or arguments[2:3] not in ([], ["--agree"]): sys.exit(__doc__)
    try: verify(pathlib.Path(arguments[0]), arguments[1], open(arguments[3]) if len(arguments) == 4 else None)
    except (Bad, OSError, UnicodeDecodeError, ValueError) as problem:
        sys.exit(f"not good: {problem}")
