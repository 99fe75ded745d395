/* An app in C, from the WIT files and docs/wire-format.md alone: keeps notes in the storage service.
 *
 *     put KEY TEXT     puts a note, and says which version it is
 *     get KEY          shows one
 *     delete KEY       removes one
 *
 * It links with nothing. What it may do came to it as capabilities, by name, in its startup. */
#include "orbital.h"

/* wit/numbers.lock: objects of the storage service. */
enum { PUT = 0x7000, GET = 0x7001, DELETE = 0x7003 };

/* The first cases of `variant error` in wit/storage.wit, in their order. */
static const char *const REFUSALS[] = {
    "there is no such note", "there is one already", "there is no room left for notes", "the disk is full",
    "the key is too long",   "the key is invalid",   "it has another version",          "this app may not do that",
};

static u32 length_of(const char *text) {
    u32 length = 0;
    while (text[length]) length++;
    return length;
}

static void copy(u8 *to, const u8 *from, u32 length) {
    for (u32 i = 0; i < length; i++) to[i] = from[i];
}

/* Where the host puts lists that it hands in. Nothing is given back: the app is short-lived. `cabi_realloc`
 * is asked for (old pointer, old size, alignment, new size). */
static u8 heap[256 << 10];
static u32 used;

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
    u32 start = (used + align - 1) & ~(align - 1);
    if (start > sizeof heap || size > sizeof heap - start) __builtin_trap();
    used = start + size;
    copy(heap + start, old, old_size < size ? old_size : size);
    return heap + start;
}

/* ---- postcard, as docs/wire-format.md says */

struct out {
    u8 bytes[61440 + 600];
    u32 length;
};

static void put_number(struct out *out, u64 value) {
    while (value >= 0x80) {
        out->bytes[out->length++] = (u8)value | 0x80;
        value >>= 7;
    }
    out->bytes[out->length++] = (u8)value;
}

static void put_bytes(struct out *out, const u8 *bytes, u32 length) {
    put_number(out, length);
    copy(out->bytes + out->length, bytes, length);
    out->length += length;
}

/* What was not read; `failed` once something was not there. */
struct in {
    const u8 *bytes;
    u32 length;
    int failed;
};

static u64 take_number(struct in *in) {
    u64 value = 0;
    for (u32 shift = 0; shift < 64; shift += 7) {
        if (in->length == 0) break;
        u8 byte = *in->bytes++;
        in->length--;
        value |= (u64)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
    in->failed = 1;
    return 0;
}

static struct list take_bytes(struct in *in) {
    u64 length = take_number(in);
    struct list list = {in->bytes, (u32)length};
    if (length > in->length) {
        in->failed = 1;
        list.length = 0;
    }
    in->bytes += list.length;
    in->length -= list.length;
    return list;
}

static int same(struct list text, const char *other) {
    u32 length = length_of(other);
    if (text.length != length) return 0;
    for (u32 i = 0; i < length; i++)
        if (text.bytes[i] != (u8)other[i]) return 0;
    return 1;
}

/* ---- what it was started with */

static struct list arguments[8];
static u32 argument_count;
static u64 console, storage;

static void start(void) {
    struct bytes startup;
    kernel_startup(&startup);
    if (startup.is_error) kernel_exit(2);
    struct in in = {startup.list.bytes, startup.list.length, 0};
    for (u64 left = take_number(&in); left > 0 && !in.failed; left--) {
        struct list argument = take_bytes(&in);
        if (argument_count < 8) arguments[argument_count++] = argument;
    }
    for (u64 left = take_number(&in); left > 0 && !in.failed; left--) {
        take_bytes(&in); /* a variable of the environment, */
        take_bytes(&in); /* and its value */
    }
    for (u64 left = take_number(&in); left > 0 && !in.failed; left--) {
        struct list name = take_bytes(&in);
        u64 handle = take_number(&in);
        if (same(name, "console")) console = handle;
        if (same(name, "storage")) storage = handle;
    }
    if (in.failed) kernel_exit(2);
}

/* ---- text out: the console is a device; a write is submitted and completes */

static void say_bytes(struct list text) {
    enum { WRITE = 2, MOST = 4096 };
    if (!console) return;
    for (u32 at = 0; at < text.length;) {
        u32 length = text.length - at < MOST ? text.length - at : MOST;
        struct number submitted;
        kernel_device_submit(console, WRITE, 0, 0, text.bytes + at, length, &submitted);
        if (submitted.is_error) return;
        for (;;) {
            struct completed done;
            kernel_device_complete(console, &done);
            if (!done.is_error && done.request == submitted.value) break;
            if (done.is_error && done.error != WOULD_BLOCK) return;
            kernel_yield();
        }
        at += length;
    }
}

static void say(const char *text) {
    say_bytes((struct list){(const u8 *)text, length_of(text)});
}

static void say_number(u64 number) {
    u8 digits[20];
    u32 at = sizeof digits;
    do digits[--at] = '0' + number % 10;
    while (number /= 10);
    say_bytes((struct list){digits + at, sizeof digits - at});
}

static void fail(const char *why) {
    say("error: ");
    say(why);
    say("\n");
    kernel_exit(1);
}

/* ---- a call: 1 to 64 bytes travel in the words, more beside them; so does the answer */

static u8 in_words[64];

static struct in ask(u32 number, const struct out *request) {
    u64 words[8] = {0}, tag = number;
    const u8 *bytes = request->bytes;
    u32 length = request->length;
    if (length <= 64) {
        copy((u8 *)words, bytes, length);
        tag |= (u64)length << 32;
        length = 0;
    }
    struct answer answer;
    kernel_call_with(storage, FOREVER, tag, words[0], words[1], words[2], words[3], words[4], words[5], words[6],
                     words[7], bytes, length, 0, 0, &answer);
    if (answer.is_error) fail("the storage service cannot be asked");
    if ((u32)answer.tag != number) fail("the storage service refused the request");
    if (answer.length == 0) {
        copy(in_words, (const u8 *)answer.words, 64);
        return (struct in){in_words, (u32)(answer.tag >> 32 & 0x7F), 0};
    }
    struct list list;
    kernel_take_bytes(&list);
    return (struct in){list.bytes, list.length, 0};
}

/* Reads 0 for ok, or ends with what the service says. */
static void must_be_ok(struct in *answer) {
    if (take_number(answer) == 0 && !answer->failed) return;
    u64 error = take_number(answer);
    if (answer->failed || error >= sizeof REFUSALS / sizeof *REFUSALS) fail("the storage service failed");
    fail(REFUSALS[error]);
}

__attribute__((export_name("run"))) void run(void) {
    static struct out request;
    start();
    if (!storage) fail("there is no capability `storage`");
    struct list verb = argument_count > 0 ? arguments[0] : (struct list){0, 0};
    if (argument_count == 3 && same(verb, "put")) {
        if (arguments[1].length > 512 || arguments[2].length > 61440) fail("that is too long");
        put_bytes(&request, arguments[1].bytes, arguments[1].length);
        put_bytes(&request, arguments[2].bytes, arguments[2].length);
        put_number(&request, 0); /* option: none, whatever version is there */
        struct in answer = ask(PUT, &request);
        must_be_ok(&answer);
        say("kept as version ");
        say_number(take_number(&answer));
        say("\n");
    } else if (argument_count == 2 && same(verb, "get")) {
        if (arguments[1].length > 512) fail("that is too long");
        put_bytes(&request, arguments[1].bytes, arguments[1].length);
        struct in answer = ask(GET, &request);
        must_be_ok(&answer);
        take_number(&answer); /* metadata: size, version, modified */
        take_number(&answer);
        take_number(&answer);
        say_bytes(take_bytes(&answer));
        say("\n");
        if (answer.failed || answer.length != 0) fail("the answer was not understood");
    } else if (argument_count == 2 && same(verb, "delete")) {
        if (arguments[1].length > 512) fail("that is too long");
        put_bytes(&request, arguments[1].bytes, arguments[1].length);
        put_number(&request, 0);
        struct in answer = ask(DELETE, &request);
        must_be_ok(&answer);
    } else {
        say("usage: put KEY TEXT | get KEY | delete KEY\n");
        kernel_exit(2);
    }
}
